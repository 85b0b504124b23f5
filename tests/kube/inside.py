"""The operator's cluster and reconciler inside the test's process, one life after another, with faults put into its requests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aar_operator.cluster import ClusterError, Ref, Unavailable
from aar_operator.cluster.client import Client
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.hubs import HubError
from aar_operator.reconcile import Reconciler
from aar_operator.settings import Settings

NO_NODE = {"aar.dev/node": "played-by-a-test"}
"""nodeSelector of all pods: no node of a cluster takes what the test's kubelet plays."""


SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.4
"""Seconds between rounds: short while there is something to write, longer while others have to move. A round lists everything, which
keeps the API server's core busy that other tests need."""


class Killed(BaseException):
    """The process is gone; nobody catches that."""


@dataclass
class Faults:
    """What happens to requests, and what was seen of them."""

    before: Callable[[str, str], None] = lambda method, path: None
    """Raises instead of sending."""
    writes_left: int | None = None
    """Writes after which the process is killed: the last is carried out, but its answer is lost. Events do not count: nobody keeps that one
    was told, so that each life tells it again, and would get no further than that."""
    before_the_next: bool = False
    """It is killed only when it is about to write again: after whatever it asked the hub and the API server meanwhile."""
    sent: list[tuple[str, str]] = field(default_factory=list)
    about: list[tuple[str, str, str]] = field(default_factory=list)
    """The same with the name of the object."""
    made: Counter[str] = field(default_factory=Counter)
    """Collection/name -> times that the server made it."""

    def over(self) -> bool:
        """Whether a life has made its writes."""
        return self.writes_left is not None and self.writes_left <= 0


class FaultyClient(Client):
    faults = Faults()

    async def send(self, method, path, body=None, content="application/json", query=None):
        if method != "GET" and self.faults.over():
            raise Killed
        self.faults.before(method, path)
        got = await super().send(method, path, body, content, query)
        if method == "GET":
            return got
        self.faults.sent.append((method, path))
        self.faults.about.append((method, path, named(method, path, body)))
        if method == "POST":
            self.faults.made[f"{path}/{got['metadata']['name']}"] += 1
        if self.faults.writes_left is not None and "/events" not in path:
            self.faults.writes_left -= 1
        if self.faults.over() and not self.faults.before_the_next:
            raise Killed
        return got


class Inside:
    """Lives of an operator for the objects of one namespace."""

    def __init__(
        self, kubeconfig: object, space: str, hubs_url: str, faults: Faults | None = None, **settings: object
    ) -> None:
        self.kubeconfig, self.space, self.faults = str(kubeconfig), space, faults or Faults()
        known = {"operator_namespace": f"{space}-op", "hub_url": hubs_url + "/{namespace}", "node_selector": NO_NODE}
        self.settings = Settings(**(known | settings))  # type: ignore[arg-type]
        self.woken: set[Ref] = set()
        """Objects that a look at another asked to be looked at."""

    def live(self, enough: Callable[[], object], seconds: float = 60.0) -> bool:
        """Reconcile everything again and again until it is enough, or the process is killed (then false)."""
        return asyncio.run(self._live(enough, seconds))

    async def _live(self, enough: Callable[[], object], seconds: float) -> bool:
        FaultyClient.faults = self.faults
        client = await FaultyClient.connect(kubeconfig=self.kubeconfig)
        cluster = KubernetesCluster(client)
        reconciler = Reconciler(cluster, self.settings)
        end, pause = time.monotonic() + seconds, SHORTEST_PAUSE
        try:
            while not enough():
                assert time.monotonic() < end, f"not within {seconds} s"
                written = len(self.faults.sent)
                passed = await self._round(cluster, reconciler)
                idle = passed and len(self.faults.sent) == written
                pause = min(1.5 * pause, LONGEST_PAUSE) if idle else SHORTEST_PAUSE
                await asyncio.sleep(pause)
            return True
        except Killed:
            return False
        finally:
            await reconciler.close()
            await client.close()

    async def _round(self, cluster: KubernetesCluster, reconciler: Reconciler) -> bool:
        """Whether nothing failed."""
        try:
            await cluster.relist()
        except ClusterError:
            return False
        passed = True
        for kind in ("ResearchCampaign", "Experiment"):
            for one in await cluster.find(kind, namespace=self.space):
                passed &= await self._look(reconciler, Ref.of(one))
        for job in await cluster.find("Job", {"aar.dev/campaign-namespace": self.space}):
            name = job["metadata"]["labels"].get("aar.dev/experiment")
            if name is not None:
                passed &= await self._look(reconciler, Ref("Experiment", self.space, name))
        spaces = await cluster.find("Namespace", {"aar.dev/campaign-namespace": self.space})
        for name in {one["metadata"]["labels"]["aar.dev/campaign"] for one in spaces}:
            ref = Ref("ResearchCampaign", self.space, name)
            if await cluster.get(ref) is None:
                passed &= await self._look(reconciler, ref)
        return passed

    async def _look(self, reconciler: Reconciler, ref: Ref) -> bool:
        try:
            outcome = await reconciler.reconcile(ref)
            self.woken.update(outcome.wake)
        except (ClusterError, HubError):
            return False
        return True


def named(method: str, path: str, body: dict) -> str:
    """Name of the object that a request is about."""
    if method == "POST":
        return body["metadata"]["name"]
    return [one for one in path.split("/") if one != "status"][-1]


def unavailable(every: int) -> Callable[[str, str], None]:
    """Every so many requests fail, each in another way."""
    count = 0
    words = ("too many requests", "internal error", "timed out")

    def fail(method: str, path: str) -> None:
        nonlocal count
        count += 1
        if count % every == 0:
            raise Unavailable(words[count // every % len(words)], 0.0)

    return fail
