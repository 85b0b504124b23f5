"""A part's namespace: Pod Security, quota, limits, an account without token, and no way in or out but to the hub."""

from __future__ import annotations

from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import Manifest, obj, owned_by, part_namespace
from aar_operator.manifests.hub import SANDBOX_PORT

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
QUOTA = {"pods": "200", "secrets": "2000", "services": "2", "persistentvolumeclaims": "2"}
LIMIT = {
    "type": "Container",
    "default": {"cpu": "1", "memory": "2Gi"},
    "defaultRequest": {"cpu": "100m", "memory": "256Mi"},
}


def build(campaign: ResearchCampaign, part: str) -> list[Manifest]:
    """The namespace of a part with everything that bounds it."""
    namespace = part_namespace(campaign, part)
    marks = owned_by(campaign, "sandbox", part)
    return [
        obj("v1", "Namespace", namespace, None, marks | RESTRICTED),
        obj("v1", "ResourceQuota", "sandbox", namespace, marks, spec={"hard": QUOTA}),
        obj("v1", "LimitRange", "sandbox", namespace, marks, spec={"limits": [LIMIT]}),
        obj("v1", "ServiceAccount", "sandbox", namespace, marks, automountServiceAccountToken=False),
        *(_policies(campaign, part, namespace, marks) if part != "hub" else [_into_hub(campaign, namespace, marks)]),
    ]


def _policies(campaign: ResearchCampaign, part: str, namespace: str, marks: dict[str, str]) -> list[Manifest]:
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    to_hub = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": part_namespace(campaign, "hub")}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "hub"}},
    }
    egress = [{"to": [to_hub], "ports": [{"protocol": "TCP", "port": SANDBOX_PORT}]}]
    allow = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}
    return [
        obj("networking.k8s.io/v1", "NetworkPolicy", "deny-all", namespace, marks, spec=deny),
        obj("networking.k8s.io/v1", "NetworkPolicy", "to-hub", namespace, marks, spec=allow),
    ]


def _into_hub(campaign: ResearchCampaign, namespace: str, marks: dict[str, str]) -> Manifest:
    ours = {"namespaceSelector": {"matchLabels": {"aar.dev/campaign-uid": campaign.metadata.uid}}}
    ingress = [{"from": [ours], "ports": [{"protocol": "TCP", "port": SANDBOX_PORT}]}]
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}
    return obj("networking.k8s.io/v1", "NetworkPolicy", "from-sandboxes", namespace, marks, spec=spec)
