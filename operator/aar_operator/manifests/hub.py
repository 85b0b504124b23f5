"""The hub of a campaign: one replica, its volume, its Service, the operator's token to it."""

from __future__ import annotations

from aar_api import digest, labels
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import (
    TMP_SIZE,
    Manifest,
    claim,
    container,
    empty_dir,
    mount,
    obj,
    owned_by,
    part_namespace,
    placed,
    pod_spec,
    secret_value,
    value,
    volume_claim,
)
from aar_operator.settings import Settings

NAME = "hub"
PROVIDER = "provider"
SANDBOX_PORT = 8080
OPERATOR_PORT = 8081
DATA = "/data"
PROVIDER_DIR = "/provider"
KEY, CERTIFICATES = "key", "ca.crt"
"""Keys of the provider's Secret, and files in that folder."""
RESOURCES = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "4Gi"}}


def build(
    campaign: ResearchCampaign, settings: Settings, address: str | None = None, token: str = ""
) -> list[Manifest]:
    """Volume, Deployment and Service; the token's Secret is made apart, once, because it is drawn.

    A Service that has to be made again gets the address it had: pods know the hub by nothing else. A pod reads the token when it
    starts, so that another token, drawn because somebody deleted the Secret, makes another pod.
    """
    namespace = part_namespace(campaign, "hub")
    marks = owned_by(campaign, "hub", "hub")
    selector = {labels.COMPONENT: "hub", labels.CAMPAIGN_UID: campaign.metadata.uid}
    env = [
        value(labels.ENV_HUB_DATA_DIR, DATA),
        value(labels.ENV_HUB_SANDBOX_PORT, SANDBOX_PORT),
        value(labels.ENV_HUB_OPERATOR_PORT, OPERATOR_PORT),
        value(labels.ENV_HUB_CPU_USD_PER_HOUR, settings.cpu_usd_per_hour),
        value(labels.ENV_HUB_GPU_USD_PER_HOUR, settings.gpu_usd_per_hour),
        *([value(labels.ENV_HUB_CACHE_DIR, settings.cache_dir)] if settings.cache_dir else []),
        *([] if settings.one_machine else _in_a_pod(settings)),
        secret_value(labels.ENV_HUB_OPERATOR_TOKEN, NAME, "operatorToken"),
    ]
    mounts = [mount("data", DATA), mount("tmp", "/tmp")]  # noqa: S108  a mount in a pod of its own
    volumes = [claim("data"), empty_dir("tmp", TMP_SIZE)]
    if settings.provider_url:
        env.append(value(labels.ENV_HUB_PROVIDER_URL, settings.provider_url))
    if settings.provider_proxy:
        env.append(value(labels.ENV_HUB_PROVIDER_PROXY, settings.provider_proxy))
    env += _files_here(settings) if settings.one_machine else _mounted_files(settings)
    given = _secrets(settings)
    if given and not settings.one_machine:
        mounts.append(mount(PROVIDER, PROVIDER_DIR, read_only=True))
        volumes.append({"name": PROVIDER, "secret": {"secretName": PROVIDER, "defaultMode": 0o440}})
    one = container(
        NAME,
        settings.image_hub,
        ["python", "-m", "aar_hub.main"],
        env,
        mounts,
        RESOURCES,
        settings,
    )
    one["ports"] = [
        {"name": "sandbox", "containerPort": SANDBOX_PORT},
        {"name": "operator", "containerPort": OPERATOR_PORT},
    ]
    # Without it a Service sends callers to a hub that does not listen yet, after every restart.
    one["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": "operator"}, "periodSeconds": 2}
    place = placed(campaign, settings, trusted=True)
    pod = pod_spec([one], volumes, "Always", **place)
    started_with = {labels.TOKEN_DIGEST: digest.of_json(token)} if token else {}
    template = {"metadata": {"labels": marks, "annotations": started_with}, "spec": pod}
    deployment = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": selector},
        "template": template,
    }
    ports = [
        {"name": "sandbox", "port": SANDBOX_PORT, "targetPort": SANDBOX_PORT},
        {"name": "operator", "port": OPERATOR_PORT, "targetPort": OPERATOR_PORT},
    ]
    service: Manifest = {"selector": selector, "ports": ports} | ({"clusterIP": address} if address else {})
    volume = volume_claim(settings.hub_storage, settings)
    return [
        *([obj("v1", "Secret", PROVIDER, namespace, marks, type="Opaque", stringData=given)] if given else []),
        obj("v1", "PersistentVolumeClaim", "data", namespace, marks, spec=volume),
        obj("v1", "Service", NAME, namespace, marks, spec=service),
        obj("apps/v1", "Deployment", NAME, namespace, marks, spec=deployment),
    ]


def _secrets(settings: Settings) -> dict[str, str]:
    """What the provider's Secret holds."""
    given = {KEY: settings.provider_key, CERTIFICATES: settings.provider_ca}
    return {name: text for name, text in given.items() if text}


def _mounted_files(settings: Settings) -> list[Manifest]:
    """A file and not a variable, since a hub reads the one again when it changes: the kubelet renews it, and no pod is started anew."""
    variables = {KEY: labels.ENV_HUB_PROVIDER_KEY_FILE, CERTIFICATES: labels.ENV_HUB_PROVIDER_CA_FILE}
    return [value(variables[name], f"{PROVIDER_DIR}/{name}") for name in _secrets(settings)]


def _files_here(settings: Settings) -> list[Manifest]:
    """On one machine hubs read the files that the operator was given. A key from the environment is written to no file."""
    files = {
        labels.ENV_HUB_PROVIDER_KEY_FILE: settings.provider_key_file,
        labels.ENV_HUB_PROVIDER_CA_FILE: settings.provider_ca_file,
    }
    found = [value(name, path) for name, path in files.items() if path]
    if settings.provider_key and not settings.provider_key_file:
        found.append(secret_value(labels.ENV_HUB_PROVIDER_KEY, PROVIDER, KEY))
    return found


def _in_a_pod(settings: Settings) -> list[Manifest]:
    """What a hub cannot know by itself there: that others come from other machines, what it is, and which lab computes its baselines."""
    return [
        value(labels.ENV_HUB_HOST, "0.0.0.0"),  # noqa: S104  a NetworkPolicy says who gets in
        value(labels.ENV_HUB_VERSION, settings.image_hub),
        value(labels.ENV_HUB_LAB_VERSION, settings.image_lab),
    ]


def secret(campaign: ResearchCampaign, token: str) -> Manifest:
    """The operator's token to the hub; created once, never applied again."""
    namespace = part_namespace(campaign, "hub")
    return obj(
        "v1",
        "Secret",
        NAME,
        namespace,
        owned_by(campaign, "hub", "hub"),
        type="Opaque",
        stringData={"operatorToken": token},
    )
