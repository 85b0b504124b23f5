"""The hub of a campaign: one replica, its volume, its Service, the operator's token to it."""

from __future__ import annotations

from aar_api import labels
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import (
    Manifest,
    claim,
    container,
    empty_dir,
    mount,
    obj,
    owned_by,
    part_namespace,
    pod_spec,
    secret_value,
    value,
)
from aar_operator.settings import Settings

NAME = "hub"
PROVIDER = "provider"
SANDBOX_PORT = 8080
OPERATOR_PORT = 8081
DATA = "/data"
RESOURCES = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "4Gi"}}


def build(campaign: ResearchCampaign, settings: Settings) -> list[Manifest]:
    """Volume, Deployment and Service; the token's Secret is made apart, once, because it is drawn."""
    namespace = part_namespace(campaign, "hub")
    marks = owned_by(campaign, "hub", "hub")
    selector = {labels.COMPONENT: "hub", labels.CAMPAIGN_UID: campaign.metadata.uid}
    env = [
        value(labels.ENV_HUB_DATA_DIR, DATA),
        value(labels.ENV_HUB_SANDBOX_PORT, SANDBOX_PORT),
        value(labels.ENV_HUB_OPERATOR_PORT, OPERATOR_PORT),
        value(labels.ENV_HUB_CPU_USD_PER_HOUR, settings.cpu_usd_per_hour),
        value(labels.ENV_HUB_GPU_USD_PER_HOUR, settings.gpu_usd_per_hour),
        value(labels.ENV_HUB_CACHE_DIR, settings.cache_dir),
        secret_value(labels.ENV_HUB_OPERATOR_TOKEN, NAME, "operatorToken"),
        *_provider(settings),
    ]
    one = container(
        NAME,
        settings.image_hub,
        ["python", "-m", "aar_hub.main"],
        env,
        [mount("data", DATA), mount("tmp", "/tmp")],  # noqa: S108  a mount in a pod of its own
        RESOURCES,
    )
    one["ports"] = [
        {"name": "sandbox", "containerPort": SANDBOX_PORT},
        {"name": "operator", "containerPort": OPERATOR_PORT},
    ]
    template = {"metadata": {"labels": marks}, "spec": pod_spec([one], [claim("data"), empty_dir("tmp")], "Always")}
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
    volume = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    return [
        *_provider_secret(namespace, marks, settings),
        obj("v1", "PersistentVolumeClaim", "data", namespace, marks, spec=volume),
        obj("v1", "Service", NAME, namespace, marks, spec={"selector": selector, "ports": ports}),
        obj("apps/v1", "Deployment", NAME, namespace, marks, spec=deployment),
    ]


def _provider(settings: Settings) -> list[Manifest]:
    """How the hub reaches the LLM provider; without a key it refuses LLM calls."""
    url = [value(labels.ENV_HUB_PROVIDER_URL, settings.provider_url)] if settings.provider_url else []
    return [*url, secret_value(labels.ENV_HUB_PROVIDER_KEY, PROVIDER, "key")] if settings.provider_key else url


def _provider_secret(namespace: str, marks: dict[str, str], settings: Settings) -> list[Manifest]:
    """The key, in the one namespace where no code of a researcher runs."""
    if not settings.provider_key:
        return []
    key = {"key": settings.provider_key}
    return [obj("v1", "Secret", PROVIDER, namespace, marks, type="Opaque", stringData=key)]


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
