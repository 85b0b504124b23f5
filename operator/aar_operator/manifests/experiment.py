"""An experiment's attempt: an indexed Job, an index a seed, in the steps fetch (token), train (none) and post (token)."""

from __future__ import annotations

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign
from aar_api.experiment import Experiment
from aar_api.wire import AdmissionAnswer

from aar_operator.manifests.common import (
    TMP_SIZE,
    Manifest,
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
)
from aar_operator.settings import Settings

INPUT, OUTPUT, WORK = "/input", "/output", "/work"
INPUT_SIZE = "4Gi"
"""Features of 200,000 texts by a model of 4,096 dimensions take 3.3 GB."""
OUTPUT_SIZE = "1Gi"
"""Predictions, and the end of a log."""
MODELS = "models"
MAX_RUNS = 2
"""Times that an index may run, for which money is held."""
STEPS_SECONDS = 900
"""What a run may take on top of the method's own deadline: its image, and fetching and posting, which each wait four minutes for a hub
that is away."""
SLACK_SECONDS = 3600
"""What a Job may take on top of all its runs: waiting for nodes, and what was evicted and begins again, which is no run of an index."""
SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


def job_ref(campaign: ResearchCampaign, part: str, experiment: str, attempt: int) -> tuple[str, str]:
    """(namespace, name) of an attempt's Job."""
    return part_namespace(campaign, part), names.job(experiment, attempt)


def at_once(seeds: int, gpus: int, max_gpus: int) -> int:
    """How many seeds run side by side, if one takes so many GPUs and the campaign may have so many; at least one."""
    return max(1, min(seeds, max_gpus // gpus)) if gpus else seeds


def build(
    campaign: ResearchCampaign,
    experiment: Experiment,
    answer: AdmissionAnswer,
    attempt: int,
    hub_url: str,
    settings: Settings,
) -> list[Manifest]:
    """Secret and Job of one attempt."""
    namespace, name = job_ref(campaign, answer.part, experiment.metadata.name, attempt)
    marks = owned_by(campaign, "experiment", answer.part)
    marks |= {labels.EXPERIMENT: experiment.metadata.name, labels.EXPERIMENT_UID: experiment.metadata.uid}
    deadline = experiment.spec.active_deadline_seconds or campaign.spec.experiments.active_deadline_seconds
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailIndex",
            "onExitCodes": {"containerName": "post", "operator": "In", "values": [labels.EXIT_METHOD_FAILED]},
        },
    ]
    seeds = len(answer.seeds)
    job: Manifest = {
        "completionMode": "Indexed",
        "completions": seeds,
        "parallelism": at_once(seeds, experiment.spec.resources.gpus, campaign.spec.experiments.max_gpus),
        "backoffLimitPerIndex": MAX_RUNS - 1,
        "maxFailedIndexes": seeds,
        "podReplacementPolicy": "Failed",
        # If nodes have room for one seed at a time, they run one after another.
        "activeDeadlineSeconds": (deadline + STEPS_SECONDS) * MAX_RUNS * max(1, seeds) + SLACK_SECONDS,
        "podFailurePolicy": {"rules": rules},
        "template": {
            "metadata": {"labels": marks},
            "spec": _pod(campaign, experiment, name, deadline, hub_url, settings),
        },
    }
    on_job = marks
    if settings.cluster_queue:
        # Kueue suspends it itself, but where its webhook is off nothing may start unseen.
        on_job = marks | {labels.QUEUE: queue_name(campaign)}
        job["suspend"] = True
    tokens = {"fetch": answer.fetch_token, "post": answer.post_token}
    made = obj("batch/v1", "Job", name, namespace, on_job, spec=job)
    made["metadata"]["annotations"] = {labels.RESERVED_USD: answer.reserved_usd}
    return [obj("v1", "Secret", name, namespace, marks, type="Opaque", stringData=tokens), made]


def queue_name(campaign: ResearchCampaign) -> str:
    """Name of the LocalQueue in every sandbox of a campaign."""
    return campaign.spec.queue_name or "aar"


def _pod(
    campaign: ResearchCampaign, experiment: Experiment, secret: str, deadline: int, hub_url: str, settings: Settings
) -> Manifest:
    url, network = to_hub(hub_url, settings)
    folders = [
        value(labels.ENV_INPUT_DIR, INPUT),
        value(labels.ENV_OUTPUT_DIR, OUTPUT),
        value(labels.ENV_WORK_DIR, WORK),
    ]
    hub = [*folders, value(labels.ENV_HUB_URL, url)]
    train = [
        *folders,
        value(labels.ENV_DEADLINE_SECONDS, deadline),
        value(labels.ENV_THREADS, _threads(experiment.spec.resources.cpu)),
    ]
    if settings.model_dir:
        train.append(value(labels.ENV_MODEL_DIR, settings.model_dir))
    image, tmp = settings.image_lab, mount("tmp", "/tmp")  # noqa: S108  a mount in a pod of its own
    first = container(
        "fetch",
        image,
        ["python", "-m", "aar_lab.fetch"],
        [*hub, secret_value(labels.ENV_TOKEN, secret, "fetch")],
        [mount("input", INPUT), mount("output", OUTPUT), mount("work", WORK), tmp],
        SMALL,
        settings,
    )
    second = container(
        "train",
        image,
        ["python", "-m", "aar_lab.supervise"],
        train,
        [mount("input", INPUT, read_only=True), mount("output", OUTPUT), mount("work", WORK), tmp],
        compute(experiment.spec.resources),
        settings,
    )
    last = container(
        "post",
        image,
        ["python", "-m", "aar_lab.post"],
        [*hub, secret_value(labels.ENV_TOKEN, secret, "post")],
        [mount("input", INPUT, read_only=True), mount("output", OUTPUT), mount("work", WORK), tmp],
        SMALL,
        settings,
    )
    sizes = {"input": INPUT_SIZE, "output": OUTPUT_SIZE, "work": settings.scratch, "tmp": TMP_SIZE}
    volumes = [empty_dir(name, size) for name, size in sizes.items()]
    if settings.model_volume is not None:
        volumes.append({"name": MODELS, **settings.model_volume})
        second["volumeMounts"].append(mount(MODELS, settings.model_dir or f"/{MODELS}", read_only=True))
    place = placed(campaign, settings, experiment.spec.resources.gpus)
    bound = {"activeDeadlineSeconds": deadline + STEPS_SECONDS}
    return pod_spec([last], volumes, "Never", initContainers=[first, second], **bound, **network, **place)


def _threads(cpu: str) -> int:
    cores = int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return max(1, int(cores))
