"""A part's namespace: Pod Security, quota, limits, an account without token, and no way in or out but to the hub."""

from __future__ import annotations

from aar_api import labels
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import ACCOUNT, Manifest, obj, owned_by, part_namespace
from aar_operator.manifests.hub import OPERATOR_PORT, SANDBOX_PORT
from aar_operator.settings import Settings

LEVELS = ("enforce", "audit", "warn")
RESTRICTED = {f"pod-security.kubernetes.io/{level}": "restricted" for level in LEVELS}
# Amounts as the API server writes them (2k, not 2000), so that a new process sees that nothing has to be sent.
# No Secrets: only the operator makes any here, and each would have to be counted in the one ResourceQuota that the pods are counted in,
# one after another: an experiment's Job then waits for a third of a second at ten a second.
QUOTA = {"pods": "200", "services": "2", "persistentvolumeclaims": "2"}
LIMIT = {
    "type": "Container",
    "default": {"cpu": "1", "memory": "2Gi"},
    "defaultRequest": {"cpu": "100m", "memory": "256Mi"},
}
NAME_LABEL = "kubernetes.io/metadata.name"


def build(campaign: ResearchCampaign, part: str, settings: Settings, address: str | None = None) -> list[Manifest]:
    """The namespace of a part with everything that bounds it; the hub's keeps the hub's address."""
    namespace = part_namespace(campaign, part)
    marks = owned_by(campaign, "sandbox", part)
    space = obj("v1", "Namespace", namespace, None, marks | RESTRICTED)
    if part == "hub" and address is not None:
        space["metadata"]["annotations"] = {labels.HUB_ADDRESS: address}
    quota = {"hard": {**QUOTA, **settings.sandbox_quota}}
    limits = {"limits": [{**LIMIT, **settings.sandbox_limits}]}
    return [
        space,
        obj("v1", "ResourceQuota", "sandbox", namespace, marks, spec=quota),
        obj("v1", "LimitRange", "sandbox", namespace, marks, spec=limits),
        obj("v1", "ServiceAccount", ACCOUNT, namespace, marks, automountServiceAccountToken=False),
        *_policies(campaign, part, namespace, marks, settings),
    ]


def _policies(
    campaign: ResearchCampaign, part: str, namespace: str, marks: dict[str, str], settings: Settings
) -> list[Manifest]:
    if part == "hub":
        return [_into_hub(campaign, namespace, marks, settings)]
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    to_hub = {
        "namespaceSelector": {"matchLabels": {NAME_LABEL: part_namespace(campaign, "hub")}},
        "podSelector": {"matchLabels": {labels.COMPONENT: "hub"}},
    }
    egress = [{"to": [to_hub], "ports": [{"protocol": "TCP", "port": SANDBOX_PORT}]}]
    allow = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}
    return [
        obj("networking.k8s.io/v1", "NetworkPolicy", "deny-all", namespace, marks, spec=deny),
        obj("networking.k8s.io/v1", "NetworkPolicy", "to-hub", namespace, marks, spec=allow),
    ]


def _into_hub(campaign: ResearchCampaign, namespace: str, marks: dict[str, str], settings: Settings) -> Manifest:
    """Sandboxes of this campaign to one port, the operator and whoever collects metrics to the other."""
    ours = {"namespaceSelector": {"matchLabels": {labels.CAMPAIGN_UID: campaign.metadata.uid}}}
    operator: Manifest = {
        "namespaceSelector": {"matchLabels": {NAME_LABEL: settings.operator_namespace}},
        "podSelector": {"matchLabels": {labels.COMPONENT: "operator"}},
    }
    watchers = [operator]
    if settings.monitoring_namespace:
        watchers.append({"namespaceSelector": {"matchLabels": {NAME_LABEL: settings.monitoring_namespace}}})
    ingress = [
        {"from": [ours], "ports": [{"protocol": "TCP", "port": SANDBOX_PORT}]},
        {"from": watchers, "ports": [{"protocol": "TCP", "port": OPERATOR_PORT}]},
    ]
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}
    return obj("networking.k8s.io/v1", "NetworkPolicy", "from-sandboxes", namespace, marks, spec=spec)
