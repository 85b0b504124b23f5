"""An operator that has not heard of everything: of what happened after it listed, or of some objects at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aar_operator.cluster import Manifest, Ref
from aar_operator.cluster.client import Client
from aar_operator.cluster.kinds import kept
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.reconcile import Reconciler
from kube.inside import Inside

Look = Callable[[KubernetesCluster, Reconciler], Awaitable[None]]


def behind(inside: Inside, kubeconfig: object, before: Callable[[], None], look: Look) -> None:
    """An operator that lists everything, then hears of nothing while something happens, then looks."""

    async def run() -> None:
        client = await Client.connect(kubeconfig=str(kubeconfig))
        cluster = KubernetesCluster(client)
        reconciler = Reconciler(cluster, inside.settings)
        try:
            await cluster.relist()
            await reconciler.reconcile(Ref("ResearchCampaign", inside.space, "c"))
            await asyncio.to_thread(before)
            await look(cluster, reconciler)
        finally:
            await reconciler.close()
            await client.close()

    asyncio.run(run())


def heard(inside: Inside, kubeconfig: object, unheard: Callable[[Manifest], bool], look: Look) -> None:
    """An operator that begins with all objects but some."""

    async def run() -> None:
        client = await Client.connect(kubeconfig=str(kubeconfig))
        cluster = KubernetesCluster(client)
        reconciler = Reconciler(cluster, inside.settings)
        try:
            for kind in kept(with_queues=False):
                for one in (await client.items(kind.path(), kind.selector))[0]:
                    manifest = {"apiVersion": kind.api_version, "kind": kind.name, **one}
                    if not unheard(manifest):
                        cluster.saw(None, manifest)
            await look(cluster, reconciler)
        finally:
            await reconciler.close()
            await client.close()

    asyncio.run(run())
