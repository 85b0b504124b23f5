"""The kinds that are served, and those that CRDs add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True
    status: bool = True
    """Whether the status is written apart."""
    generation: bool = False
    schema: dict | None = field(default=None, compare=False)
    """Of a CRD's version."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


CRD = Kind("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
NAMESPACE = Kind("Namespace", "", "v1", "namespaces", namespaced=False)
POD = Kind("Pod", "", "v1", "pods", generation=True)
QUOTA = Kind("ResourceQuota", "", "v1", "resourcequotas")
JOB = Kind("Job", "batch", "v1", "jobs", generation=True)
BUILT_IN = (
    CRD,
    NAMESPACE,
    POD,
    QUOTA,
    JOB,
    Kind("LimitRange", "", "v1", "limitranges", status=False),
    Kind("ServiceAccount", "", "v1", "serviceaccounts", status=False),
    Kind("Secret", "", "v1", "secrets", status=False),
    Kind("Service", "", "v1", "services"),
    Kind("ConfigMap", "", "v1", "configmaps", status=False),
    Kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims"),
    Kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", status=False, generation=True),
    Kind("Deployment", "apps", "v1", "deployments", generation=True),
    Kind("Lease", "coordination.k8s.io", "v1", "leases", status=False),
    Kind("Event", "events.k8s.io", "v1", "events", status=False),
)


class Kinds:
    """All of them, by (group, version, plural)."""

    def __init__(self) -> None:
        self._known = {(one.group, one.version, one.plural): one for one in BUILT_IN}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._known.values())

    def get(self, group: str, version: str, plural: str) -> Kind | None:
        return self._known.get((group, version, plural))

    def define(self, crd: dict) -> None:
        """Serve what a CRD says."""
        spec = crd["spec"]
        for one in spec["versions"]:
            kind = Kind(
                spec["names"]["kind"],
                spec["group"],
                one["name"],
                spec["names"]["plural"],
                namespaced=spec["scope"] == "Namespaced",
                status="status" in one.get("subresources", {}),
                generation=True,
                schema=one["schema"]["openAPIV3Schema"],
            )
            self._known[kind.group, kind.version, kind.plural] = kind
