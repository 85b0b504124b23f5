"""Joins deciding and acting: observe, plan, apply, once for one object.

Law: no decision is made here. Level-triggered: any call at any time is right, and a call that changes nothing writes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aar_operator.cluster import Cluster, Ref
from aar_operator.reconcile.campaigns import CampaignReconciler
from aar_operator.reconcile.experiments import ExperimentReconciler
from aar_operator.reconcile.outcome import Outcome
from aar_operator.reconcile.pool import HubPool
from aar_operator.settings import Settings


class Reconciler:
    """Brings one object nearer to what it should be."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.pool = HubPool(cluster)
        self._campaigns = CampaignReconciler(cluster, self.pool, settings)
        self._experiments = ExperimentReconciler(cluster, self.pool, settings)

    async def close(self) -> None:
        """Close the connections to hubs."""
        await self.pool.close()

    async def reconcile(self, ref: Ref) -> Outcome:
        """Observe, plan, apply.

        Raises:
            ClusterError: the cluster did not do it; try again later.
            HubError: the hub did not do it; try again later.
        """
        now = datetime.now(UTC)
        if ref.kind == "ResearchCampaign":
            return await self._campaigns.reconcile(ref, now)
        return await self._experiments.reconcile(ref, now)
