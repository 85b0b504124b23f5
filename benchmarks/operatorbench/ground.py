"""What a measurement stands on: a control plane with fake nodes, the CRDs, a double of the hubs, the operator as a process.

KUBECONFIG names the control plane. It needs the controller manager, a scheduler and nodes (fake ones, by KWOK) on which pods of Jobs
end, and nothing of ours in it yet. It must have no default StorageClass: then researchers wait for their volumes, and research goes
on as long as there is something to measure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import yaml

from benchmarks.operatorbench.bare import Bare, Object
from tests.kube import world
from tests.kube.hubdouble import serving
from tests.kube.world import PLURALS, OperatorProcess

ROOT = Path(__file__).parents[2]
CRDS = ("researchcampaigns.yaml", "experiments.yaml")
PATIENCE = 180.0
QUOTA = {"pods": "100k"}
"""More than a sandbox gets by default, so that it isn't the quota that is measured."""

T = TypeVar("T")


def kubeconfig() -> Path:
    """Where the control plane is."""
    named = os.environ.get("KUBECONFIG")
    assert named, (
        "KUBECONFIG is not set: start a control plane with fake nodes (benchmarks/README.md) and name its kubeconfig."
    )
    return Path(named)


@dataclass(frozen=True)
class Ground:
    """One measurement's namespaces: `space` for campaigns, `<space>-op` for the operator."""

    bare: Bare
    folder: Path
    space: str
    hubs_url: str

    @contextlib.asynccontextmanager
    async def operator(self, **more: str) -> AsyncIterator[OperatorProcess]:
        """The operator, until the end of the block or of `end`."""
        environment = {
            "AAR_OPERATOR_NAMESPACE": f"{self.space}-op",
            "AAR_HUB_URL_TEMPLATE": self.hubs_url + "/{namespace}",
            "AAR_ISOLATION": "Reported",
            "AAR_SANDBOX_QUOTA": json.dumps(QUOTA),
        }
        process = OperatorProcess(kubeconfig(), self.folder / uuid.uuid4().hex[:8], environment | more)
        try:
            yield process
        finally:
            await asyncio.to_thread(end, process)

    async def campaign(self, name: str, parallelism: int = 1000) -> Object:
        """A campaign, once it researches."""
        limits = {"parallelism": parallelism, "maxCount": 100_000}
        body = world.campaign(self.space, name, experiments=limits, budget={"limitUSD": "1000000"})
        path = PLURALS["ResearchCampaign"].format(f"namespaces/{self.space}/")
        await self.bare.need("POST", path, body)

        async def look() -> Object | None:
            found = await self.bare.need("GET", f"{path}/{name}")
            return found if world.phase(found) == "Researching" else None

        return await until(f"campaign {name} researches", look)


def end(process: OperatorProcess) -> None:
    """As Kubernetes ends a pod."""
    if process.process.poll() is None:
        process.stop(signal.SIGTERM)


async def until(what: str, look: Callable[[], Awaitable[T | None]], patience: float = PATIENCE) -> T:
    """The first true answer."""
    last = time.monotonic() + patience
    while not (got := await look()):
        assert time.monotonic() < last, f"not in {patience:.0f} s: {what}"
        await asyncio.sleep(0.2)
    return got


@contextlib.asynccontextmanager
async def standing() -> AsyncIterator[Ground]:
    """A control plane with our CRDs and nothing of ours but two namespaces, and hubs in a process of their own."""
    with tempfile.TemporaryDirectory(prefix="aar-bench-") as scratch, _hubs() as url:
        folder, space = Path(scratch), f"b{uuid.uuid4().hex[:6]}"
        async with Bare.connect(kubeconfig(), folder) as bare:
            await _crds(bare)
            for name in (space, f"{space}-op", f"{space}-floor"):
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                await bare.need("POST", PLURALS["Namespace"], body)
            yield Ground(bare, folder, space, url)


async def _crds(bare: Bare) -> None:
    collection = PLURALS["CustomResourceDefinition"]
    for file in CRDS:
        crd = yaml.safe_load((ROOT / "crds" / file).read_text())
        code, got = await bare.send("POST", collection, crd)
        assert code in (201, 409), got
        path = f"{collection}/{crd['metadata']['name']}"

        async def look(path: str = path) -> bool | None:
            told = (await bare.need("GET", path))["status"].get("conditions") or []
            return any(one["type"] == "Established" and one["status"] == "True" for one in told)

        await until(f"{file} is served", look)
    there, _ = await bare.items(PLURALS["ResearchCampaign"].format(""))
    assert not there, (
        "There are campaigns in this cluster, whose work would be measured too: use a fresh control plane."
    )


@contextlib.contextmanager
def _hubs() -> Iterator[str]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_serve, args=(theirs,))
    child.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        child.join()


def _serve(pipe: Connection) -> None:
    """The other process: hubs until it is told to end."""
    with serving() as hubs:
        pipe.send(hubs.url)
        pipe.recv()
