"""What every object shares: names of namespaces, labels that say whose it is, a restricted pod."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign, Resources

from aar_operator.settings import Settings

Manifest = dict[str, Any]
USER = 65532
GPU = "nvidia.com/gpu"
ACCOUNT = "sandbox"
HUB_HOST = "hub"
TMP_SIZE = "2Gi"
"""Of /tmp: libraries compile and unpack there."""


def part_namespace(campaign: ResearchCampaign, part: str) -> str:
    """Namespace of one part of a campaign."""
    return names.namespace(campaign.metadata.name, campaign.metadata.uid, part)


def owned_by(campaign: ResearchCampaign, component: str, part: str) -> dict[str, str]:
    """Labels of an object that belongs to a campaign."""
    return {
        labels.MANAGED_BY: labels.FIELD_MANAGER,
        labels.COMPONENT: component,
        labels.CAMPAIGN: campaign.metadata.name,
        labels.CAMPAIGN_NAMESPACE: campaign.metadata.namespace,
        labels.CAMPAIGN_UID: campaign.metadata.uid,
        labels.PART: part,
    }


def obj(api_version: str, kind: str, name: str, namespace: str | None, marks: dict[str, str], **body: Any) -> Manifest:
    """One object."""
    metadata: Manifest = {"name": name, "labels": marks}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def value(name: str, text: object) -> Manifest:
    """A plain environment variable."""
    return {"name": name, "value": str(text)}


def secret_value(name: str, secret: str, key: str) -> Manifest:
    """An environment variable from a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def mount(volume: str, path: str, read_only: bool = False) -> Manifest:
    """A volume in a container."""
    return {"name": volume, "mountPath": path, "readOnly": read_only}


def compute(resources: Resources) -> Manifest:
    """Requests equal to limits, so that a pod gets what it pays for."""
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        amounts[GPU] = str(resources.gpus)
    return {"requests": amounts, "limits": amounts}


def container(
    name: str,
    image: str,
    command: list[str],
    env: list[Manifest],
    mounts: list[Manifest],
    resources: Manifest,
    settings: Settings,
) -> Manifest:
    """A container that may do nothing special."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": command,
        "env": env,
        "volumeMounts": mounts,
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def pod_spec(containers: list[Manifest], volumes: list[Manifest], restart: str, **more: Any) -> Manifest:
    """A pod of the `restricted` Pod Security Standard, without a token and without service links."""
    return {
        "restartPolicy": restart,
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": volumes,
        **more,
    }


def placed(campaign: ResearchCampaign, settings: Settings, gpus: int = 0, trusted: bool = False) -> Manifest:
    """Where a pod runs and in what: nodes, priority and, unless it is trusted, the sandbox of the container runtime."""
    selector, tolerations = dict(settings.node_selector), list(settings.tolerations)
    runtime = "" if trusted else settings.runtime_class
    if gpus:
        selector |= settings.gpu_node_selector
        tolerations += settings.gpu_tolerations
        runtime = settings.gpu_runtime_class or runtime
    fields = {
        "nodeSelector": selector,
        "tolerations": tolerations,
        "runtimeClassName": runtime,
        "priorityClassName": campaign.spec.priority_class_name or settings.priority_class,
    }
    return {name: value for name, value in fields.items() if value}


def to_hub(url: str, settings: Settings) -> tuple[str, Manifest]:
    """The URL by which a pod finds its hub, and what the pod needs for that: a fixed address instead of any DNS."""
    if settings.one_machine:
        return url, {}
    known = urlsplit(url)
    names_off = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}}
    return f"http://{HUB_HOST}:{known.port}", {
        "hostAliases": [{"ip": known.hostname, "hostnames": [HUB_HOST]}],
        **names_off,
    }


def volume_claim(size: str, settings: Settings) -> Manifest:
    """Spec of a claim that one pod at a time writes to."""
    spec: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return spec | ({"storageClassName": settings.storage_class} if settings.storage_class else {})


def empty_dir(name: str, size: str) -> Manifest:
    """A folder that goes with its pod, which is evicted when the folder holds more: it lies on the disk of the node, and roots are read-only."""
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def claim(name: str) -> Manifest:
    """A folder that stays."""
    return {"name": name, "persistentVolumeClaim": {"claimName": name}}
