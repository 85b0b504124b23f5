"""The isolation probe of a sandbox: a small Job that tries every way out and says which were open."""

from __future__ import annotations

from aar_api import labels
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import (
    Manifest,
    container,
    obj,
    owned_by,
    part_namespace,
    placed,
    pod_spec,
    to_hub,
)
from aar_operator.manifests.hub import OPERATOR_PORT, SANDBOX_PORT
from aar_operator.settings import Settings

NAME = "isolation"
RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
TRIES = 6
"""Times that the probe may find the hub silent: a policy takes seconds to stand, a hub to listen."""
DEADLINE_SECONDS = 600


def build(campaign: ResearchCampaign, part: str, hub_url: str, settings: Settings) -> Manifest:
    """The Job for one part. Its pod keeps the cluster's DNS, so that it can see whether that answers."""
    url, network = to_hub(hub_url, settings)
    namespace = part_namespace(campaign, part)
    marks = owned_by(campaign, NAME, part)
    host = url.removeprefix("http://").rpartition(":")[0]
    closed = [f"{host}:{OPERATOR_PORT}", *filter(None, [settings.api_server]), *settings.probe_targets]
    command = ["python", "-m", "aar_agent.probe", "--open", f"{host}:{SANDBOX_PORT}", "--closed", *closed]
    one = container(NAME, settings.image_agent, command, [], [], RESOURCES, settings)
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": NAME, "operator": "In", "values": [labels.EXIT_NOT_ISOLATED]},
        },
    ]
    alias = {key: value for key, value in network.items() if key == "hostAliases"}
    job = {
        "backoffLimit": TRIES,
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "podFailurePolicy": {"rules": rules},
        "template": {
            "metadata": {"labels": marks},
            "spec": pod_spec([one], [], "Never", **alias, **placed(campaign, settings)),
        },
    }
    return obj("batch/v1", "Job", NAME, namespace, marks, spec=job)
