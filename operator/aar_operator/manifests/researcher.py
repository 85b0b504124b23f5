"""A researcher: a Job that tries again after faults, with a workspace that outlives its pods. No GPU, no key."""

from __future__ import annotations

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import (
    TMP_SIZE,
    Manifest,
    claim,
    compute,
    container,
    empty_dir,
    mount,
    obj,
    owned_by,
    part_namespace,
    placed,
    pod_spec,
    secret_value,
    to_hub,
    value,
    volume_claim,
)
from aar_operator.settings import Settings

NAME = "researcher"
WORK = "/work"
BACKOFF_LIMIT = 6
"""Faults of the researcher's own after which it counts as failed; disruptions do not count."""


def build(campaign: ResearchCampaign, index: int, hub_url: str, token: str, settings: Settings) -> list[Manifest]:
    """Secret, workspace and Job of one researcher."""
    part = names.researcher(index)
    namespace = part_namespace(campaign, part)
    marks = owned_by(campaign, NAME, part) | {labels.RESEARCHER: part}
    url, network = to_hub(hub_url, settings)
    env = [
        value(labels.ENV_HUB_URL, url),
        value(labels.ENV_WORK_DIR, WORK),
        value(labels.ENV_RESEARCHER, part),
        secret_value(labels.ENV_TOKEN, NAME, "token"),
    ]
    mounts = [mount("work", WORK), mount("tmp", "/tmp")]  # noqa: S108  a mount in a pod of its own
    one = container(
        NAME,
        settings.image_agent,
        ["python", "-m", "aar_agent.main"],
        env,
        mounts,
        compute(campaign.spec.researchers.resources),
        settings,
    )
    rules: list[Manifest] = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    rules.append(
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": NAME, "operator": "In", "values": [labels.EXIT_METHOD_FAILED]},
        }
    )
    place = placed(campaign, settings)
    job = {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": BACKOFF_LIMIT,
        "podFailurePolicy": {"rules": rules},
        "template": {
            "metadata": {"labels": marks},
            "spec": pod_spec([one], [claim("work"), empty_dir("tmp", TMP_SIZE)], "Never", **network, **place),
        },
    }
    volume = volume_claim(settings.researcher_storage, settings)
    return [
        obj("v1", "Secret", NAME, namespace, marks, type="Opaque", stringData={"token": token}),
        obj("v1", "PersistentVolumeClaim", "work", namespace, marks, spec=volume),
        obj("batch/v1", "Job", NAME, namespace, marks, spec=job),
    ]
