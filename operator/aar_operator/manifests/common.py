"""What every object shares: names of namespaces, labels that say whose it is, a restricted pod."""

from __future__ import annotations

from typing import Any

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign, Resources

Manifest = dict[str, Any]
USER = 65532
GPU = "nvidia.com/gpu"


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
    name: str, image: str, command: list[str], env: list[Manifest], mounts: list[Manifest], resources: Manifest
) -> Manifest:
    """A container that may do nothing special."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
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


def empty_dir(name: str) -> Manifest:
    """A folder that goes with its pod."""
    return {"name": name, "emptyDir": {}}


def claim(name: str) -> Manifest:
    """A folder that stays."""
    return {"name": name, "persistentVolumeClaim": {"claimName": name}}
