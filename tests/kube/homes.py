"""One campaign in either home of the cluster, reconciled inside the test's process; what pods do is written down for both alike."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aar_operator.cluster import Cluster, ClusterError, Ref
from aar_operator.cluster.client import Client
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.cluster.local import LocalCluster
from aar_operator.hubs import HubError
from aar_operator.reconcile import Reconciler
from aar_operator.settings import Settings
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.inside import LONGEST_PAUSE, NO_NODE, SHORTEST_PAUSE
from kube.plane import Plane
from kube.world import Kubelet, part

ROOT = Path(__file__).parents[2]
PLAYERS = Path(__file__).parent / "players"
SECONDS = 180.0


@dataclass
class Home:
    """A home with one campaign `c` in the namespace `space`."""

    cluster: Cluster
    reconciler: Reconciler
    hubs: Hubs
    space: str
    play: Path
    """Folder with a file an experiment: what its index does."""
    refresh: Callable[[], object] = lambda: None
    uid: str = ""
    made: dict[str, set[str]] = field(default_factory=dict)
    """Job -> UIDs that were seen of it."""

    @property
    def hub(self) -> OneHub:
        return self.hubs.of(self.namespace("hub"))

    def namespace(self, name: str) -> str:
        return part({"metadata": {"name": "c", "uid": self.uid}}, name)

    async def begin(self, **spec: object) -> None:
        await self.cluster.create(world.campaign(self.space, **spec))
        self.uid = (await self.campaign())["metadata"]["uid"]

    async def get(self, kind: str, name: str, space: str | None = None) -> dict:
        return await self.cluster.get(Ref(kind, self.space if space is None else space, name)) or {}

    async def campaign(self) -> dict:
        return await self.get("ResearchCampaign", "c")

    async def experiment(self, name: str = "e") -> dict:
        return await self.get("Experiment", name)

    async def job(self, name: str) -> dict:
        return await self.get("Job", name, self.namespace("r0"))

    async def pods(self, job: str) -> list[dict]:
        return await self.cluster.find("Pod", {"batch.kubernetes.io/job-name": job}, self.namespace("r0"))

    async def apply(self, name: str = "e", **spec: object) -> None:
        await self.cluster.create(world.experiment(self.space, name, **spec))

    async def change(self, kind: str, name: str, **spec: object) -> None:
        await self.cluster.merge(Ref(kind, self.space, name), {"spec": spec})

    def does(self, name: str, what: str) -> None:
        """An index of an experiment holds on, or ends with a code."""
        draft = self.play / f".{name}"
        draft.write_text(what)
        draft.replace(self.play / name)

    async def until(self, what: str, enough: Callable[[], object]) -> None:
        """Reconcile everything until the coroutine that `enough` makes says so."""
        end, pause = time.monotonic() + SECONDS, SHORTEST_PAUSE
        while not await enough():  # type: ignore[misc]
            assert time.monotonic() < end, f"not in {SECONDS} s: {what}. {(await self.campaign()).get('status')}"
            await self._round()
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_PAUSE)

    async def until_phase(self, name: str, phase: str) -> dict:
        """An experiment's, or the campaign's by the name `c`."""

        async def there() -> bool:
            found = await (self.campaign() if name == "c" else self.experiment(name))
            return world.phase(found) == phase

        await self.until(f"{name} is {phase}", there)
        return await (self.campaign() if name == "c" else self.experiment(name))

    async def _round(self) -> None:
        with contextlib.suppress(ClusterError):
            got = self.refresh()
            if got is not None:
                await got  # type: ignore[misc]
            refs = [Ref.of(one) for kind in ("ResearchCampaign", "Experiment") for one in await self._all(kind)]
            for job in await self.cluster.find("Job", {"aar.dev/campaign-namespace": self.space}):
                meta = job["metadata"]
                self.made.setdefault(meta["name"], set()).add(meta["uid"])
                if "aar.dev/experiment" in meta["labels"]:
                    refs.append(Ref("Experiment", self.space, meta["labels"]["aar.dev/experiment"]))
            for ref in dict.fromkeys(refs):
                with contextlib.suppress(ClusterError, HubError):
                    await self.reconciler.reconcile(ref)

    async def _all(self, kind: str) -> list[dict]:
        return await self.cluster.find(kind, namespace=self.space)


@contextlib.asynccontextmanager
async def on_one_machine(folder: Path, hubs: Hubs, space: str) -> AsyncIterator[Home]:
    play = folder / "play"
    play.mkdir()
    paths = os.pathsep.join(map(str, (PLAYERS, ROOT / "crds", ROOT / "operator")))
    host = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "AAR_PLAY": str(play)}
    cluster = LocalCluster(folder, cores=8, gpus=0, host_environment=host)
    settings = Settings(one_machine=True, hub_url=hubs.url + "/{namespace}")
    reconciler = Reconciler(cluster, settings)
    await cluster.start()
    try:
        yield Home(cluster, reconciler, hubs, space, play)
    finally:
        await reconciler.close()
        await cluster.stop()


@contextlib.asynccontextmanager
async def on_kubernetes(folder: Path, hubs: Hubs, space: str, plane: Plane, kubelet: Kubelet) -> AsyncIterator[Home]:
    play = folder / "play"
    play.mkdir()

    def ends(pod: dict) -> int | None:
        job = str(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])
        script = play / job.rpartition("-")[0]
        says = script.read_text() if "-" in job and script.exists() else "0"
        return None if job == "researcher" or says == "hold" else int(says)

    kubelet.ends = ends
    client = await Client.connect(kubeconfig=str(plane.kubeconfig))
    cluster = KubernetesCluster(client)
    template = hubs.url + "/{namespace}"
    # As on one machine, a Job that was scored goes at once.
    settings = Settings(operator_namespace=f"{space}-op", hub_url=template, node_selector=NO_NODE, job_ttl_seconds=0)
    reconciler = Reconciler(cluster, settings)
    await cluster.relist()
    try:
        yield Home(cluster, reconciler, hubs, space, play, cluster.relist)
    finally:
        await reconciler.close()
        await client.close()
