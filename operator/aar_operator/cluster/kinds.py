"""The kinds of objects the operator knows: where each is in the API, and which of them it keeps in its cache."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from aar_api import labels

from aar_operator.cluster import Manifest, Ref

OURS = f"{labels.MANAGED_BY}={labels.FIELD_MANAGER}"
KUEUE = "kueue.x-k8s.io/v1beta1"


@dataclass(frozen=True)
class Kind:
    """One kind."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True
    kept: str = OURS
    """Which objects the cache holds: `all`, `none`, or those that a label selector finds (filtered by the server)."""
    without: str = ""
    """Label whose carriers the cache does not hold."""
    foreign: bool = False
    """Whether objects without our label are asked for too; the cache doesn't know these."""

    @property
    def selector(self) -> str:
        """Label selector of what is kept."""
        return ",".join(
            filter(None, ("" if self.kept in ("all", "none") else self.kept, self.without and f"!{self.without}"))
        )

    @property
    def whole(self) -> bool:
        """Whether what the cache does not hold is not there."""
        return self.kept != "none" and not self.foreign and not self.without

    def keeps(self, manifest: Manifest) -> bool:
        """Whether the cache holds such an object."""
        return self.kept != "none" and self.without not in (manifest["metadata"].get("labels") or {})

    @property
    def group(self) -> str:
        """API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Version within the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """Path of the collection, of an object, or of an object's subresource."""
        base = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return "/".join(filter(None, (f"{base}{middle}/{self.plural}", quote(name), part)))


ALL = (
    Kind("ResearchCampaign", labels.API_VERSION, "researchcampaigns", kept="all"),
    Kind("Experiment", labels.API_VERSION, "experiments", kept="all"),
    Kind("Namespace", "v1", "namespaces", namespaced=False),
    Kind("ResourceQuota", "v1", "resourcequotas"),
    Kind("LimitRange", "v1", "limitranges"),
    Kind("ServiceAccount", "v1", "serviceaccounts"),
    # Those of experiments are as many as experiments, made once and never read again.
    Kind("Secret", "v1", "secrets", without=labels.EXPERIMENT),
    Kind("Service", "v1", "services"),
    Kind("ConfigMap", "v1", "configmaps", foreign=True),
    Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    Kind("Pod", "v1", "pods"),
    Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    Kind("Deployment", "apps/v1", "deployments"),
    Kind("Job", "batch/v1", "jobs"),
)
QUEUES = (
    Kind("LocalQueue", KUEUE, "localqueues", kept="all"),
    Kind("Workload", KUEUE, "workloads", kept=labels.WORKLOAD_JOB),
)
"""Only where Kueue is configured."""

EVENTS = Kind("Event", "events.k8s.io/v1", "events", kept="none")
LEASES = Kind("Lease", "coordination.k8s.io/v1", "leases", kept="none")


def known(with_queues: bool) -> tuple[Kind, ...]:
    """All kinds; Kueue's only where it is used."""
    return (*ALL, *(QUEUES if with_queues else ()))


def kept(with_queues: bool) -> list[Kind]:
    """Kinds that the cache holds and that have to be watched."""
    return [kind for kind in known(with_queues) if kind.kept != "none"]


def path(kind: Kind, ref: Ref, part: str = "") -> str:
    """Path of one object."""
    return kind.path(ref.namespace, ref.name, part)
