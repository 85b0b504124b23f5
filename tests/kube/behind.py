"""An operator that has not heard of everything: of what happened after it listed, or of some objects at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aar_operator.cluster import Manifest, Ref
from aar_operator.cluster.client import Client
from aar_operator.cluster.kinds import kept
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.reconcile import Reconciler
from kube import world
from kube.inside import Inside
from kube.world import Api, phase


def begun(api: Api, inside: Inside, space: str, **spec: object) -> dict:
    """A campaign `c` that researches."""
    found = api.create(world.campaign(space, **spec)).json()
    assert inside.live(lambda: phase(api.get("ResearchCampaign", space, "c")) == "Researching", 120)
    return found


Look = Callable[[KubernetesCluster, Reconciler], Awaitable[None]]


@contextlib.asynccontextmanager
async def _replica(inside: Inside, kubeconfig: object) -> AsyncIterator[tuple[Client, KubernetesCluster, Reconciler]]:
    client = await Client.connect(kubeconfig=str(kubeconfig))
    cluster = KubernetesCluster(client)
    reconciler = Reconciler(cluster, inside.settings)
    try:
        yield client, cluster, reconciler
    finally:
        await reconciler.close()
        await client.close()


def behind(inside: Inside, kubeconfig: object, before: Callable[[], None], look: Look) -> None:
    """An operator that lists everything, then hears of nothing while something happens, then looks."""

    async def run() -> None:
        async with _replica(inside, kubeconfig) as (_, cluster, reconciler):
            await cluster.relist()
            await reconciler.reconcile(Ref("ResearchCampaign", inside.space, "c"))
            await asyncio.to_thread(before)
            await look(cluster, reconciler)

    asyncio.run(run())


def heard(inside: Inside, kubeconfig: object, unheard: Callable[[Manifest], bool], look: Look) -> None:
    """An operator that begins with all objects but some."""

    async def run() -> None:
        async with _replica(inside, kubeconfig) as (client, cluster, reconciler):
            for kind in kept(with_queues=False):
                for one in (await client.items(kind.path(), kind.selector))[0]:
                    manifest = {"apiVersion": kind.api_version, "kind": kind.name, **one}
                    if not unheard(manifest):
                        cluster.saw(None, manifest)
            await look(cluster, reconciler)

    asyncio.run(run())
