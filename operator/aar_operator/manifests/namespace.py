"""A part's namespace: Pod Security, quota, limits, an account without token, and no way in or out but to the hub."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

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
LIMIT: Manifest = {
    "type": "Container",
    "default": {"cpu": "1", "memory": "2Gi"},
    "defaultRequest": {"cpu": "100m", "memory": "256Mi"},
}
DEFAULTS = ("default", "defaultRequest")
LINK_LOCAL = {"0.0.0.0/0": ["169.254.0.0/16"], "::/0": ["fe80::/10", "fd00:ec2::254/128"]}
"""Everywhere, but for where clouds have their metadata services."""
PULL_KEY = ".dockerconfigjson"
NAME_LABEL = "kubernetes.io/metadata.name"


def build(campaign: ResearchCampaign, part: str, settings: Settings, address: str | None = None) -> list[Manifest]:
    """The namespace of a part with everything that bounds it; the hub's keeps the hub's address."""
    namespace = part_namespace(campaign, part)
    marks = owned_by(campaign, "sandbox", part)
    space = obj("v1", "Namespace", namespace, None, marks | RESTRICTED)
    if part == "hub" and address is not None:
        space["metadata"]["annotations"] = {labels.HUB_ADDRESS: address}
    # What the hub takes is not the user's to choose, nor theirs to bound.
    own = {} if part == "hub" else settings.sandbox_quota
    quota = {"hard": {**_counts(settings), **own}}
    limits = {"limits": [_limit({} if part == "hub" else settings.sandbox_limits)]}
    return [
        space,
        obj("v1", "ResourceQuota", "sandbox", namespace, marks, spec=quota),
        obj("v1", "LimitRange", "sandbox", namespace, marks, spec=limits),
        *_registries(namespace, marks, settings),
        *_policies(campaign, part, namespace, marks, settings),
    ]


def _limit(given: Manifest) -> Manifest:
    """The defaults with what is given over them. Where a bound is given, the default is that bound, as Kubernetes has it, or what is
    given: ours may be beyond it, and a LimitRange whose default breaks its bounds is refused.
    """
    bounded = {*given.get("max", {}), *given.get("min", {})}
    ours = {name: {key: one for key, one in LIMIT[name].items() if key not in bounded} for name in DEFAULTS}
    return {"type": LIMIT["type"], **{name: amounts for name, amounts in ours.items() if amounts}, **given}


def _registries(namespace: str, marks: dict[str, str], settings: Settings) -> list[Manifest]:
    """The account of every pod, and the credentials by which the kubelet pulls images for it; no container sees these."""
    names = {name: f"pull-{name}" for name in settings.pull_secrets}
    body: Manifest = {"imagePullSecrets": [{"name": own} for own in names.values()]} if names else {}
    return [
        *(_registry(names[name], namespace, marks, text) for name, text in settings.pull_secrets.items()),
        obj("v1", "ServiceAccount", ACCOUNT, namespace, marks, automountServiceAccountToken=False, **body),
    ]


def _registry(name: str, namespace: str, marks: dict[str, str], text: str) -> Manifest:
    given = {PULL_KEY: text}
    return obj("v1", "Secret", name, namespace, marks, type="kubernetes.io/dockerconfigjson", stringData=given)


def _counts(settings: Settings) -> dict[str, str]:
    """A volume of models that goes with its pod is a claim for each pod: those are counted already."""
    a_claim_each = "ephemeral" in (settings.model_volume or {})
    return {name: most for name, most in QUOTA.items() if not (a_claim_each and name == "persistentvolumeclaims")}


def _policies(
    campaign: ResearchCampaign, part: str, namespace: str, marks: dict[str, str], settings: Settings
) -> list[Manifest]:
    if part == "hub":
        return [_around_hub(campaign, namespace, marks, settings)]
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


def _around_hub(campaign: ResearchCampaign, namespace: str, marks: dict[str, str], settings: Settings) -> Manifest:
    """In: sandboxes of this campaign to one port, the operator and whoever collects metrics to the other. Out: to an LLM provider, if
    there is a key for one.
    """
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
    egress = _to_provider(settings) if settings.provider_key else []
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}
    return obj("networking.k8s.io/v1", "NetworkPolicy", "from-sandboxes", namespace, marks, spec=spec)


def _to_provider(settings: Settings) -> list[Manifest]:
    """Names, pods (a gateway of the cluster's own; some network plugins match these by no address, and all by another port than their
    Service's), and of the world the provider's port or its proxy's. Not the API server, as far as its address is known.
    """
    port = _port(settings.provider_proxy or settings.provider_url)
    worlds = [
        {"ipBlock": {"cidr": cidr, "except": [*near, *_alone(settings.api_server, cidr)]}}
        for cidr, near in LINK_LOCAL.items()
    ]
    return [
        {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
        {"to": [{"namespaceSelector": {}}]},
        {"to": worlds, "ports": [{"protocol": "TCP", "port": port}]},
    ]


def _port(url: str) -> int:
    known = urlsplit(url)
    return known.port or (80 if known.scheme == "http" else 443)


def _alone(server: str, cidr: str) -> list[str]:
    """The network of one host:port within another, if the host is an address of that kind."""
    try:
        address = ip_address(server.rpartition(":")[0].strip("[]"))
    except ValueError:
        return []
    return [str(ip_network(address))] if address.version == ip_network(cidr).version else []
