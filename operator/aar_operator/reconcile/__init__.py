"""Joins deciding and acting: observe, plan, apply, once for one object.

Law: no decision is made here. Level-triggered: any call at any time is right, and a call that changes nothing writes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aar_operator.cluster import Cluster, Ref
from aar_operator.reconcile.campaigns import CampaignReconciler
from aar_operator.reconcile.experiments import ExperimentReconciler
from aar_operator.reconcile.lines import Lines
from aar_operator.reconcile.outcome import Outcome
from aar_operator.reconcile.pool import HubPool
from aar_operator.reconcile.reading import Malformed, Reading
from aar_operator.reconcile.refusing import refuse
from aar_operator.settings import Settings


class Reconciler:
    """Brings one object nearer to what it should be."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster, self._settings = cluster, settings
        self.pool = HubPool(cluster, settings)
        reading, lines = Reading(), Lines(cluster)
        self._campaigns = CampaignReconciler(cluster, self.pool, reading, lines, settings)
        self._experiments = ExperimentReconciler(cluster, self.pool, reading, lines, settings)

    async def close(self) -> None:
        """Close the connections to hubs and count on nothing that was heard: by the next look another operator may have been at work."""
        self._experiments.forget()
        await self.pool.close()

    async def complain(self, ref: Ref, error: Exception) -> None:
        """Tell whoever looks at the object that it could not be dealt with for a while."""
        await self._cluster.emit(ref, "Warning", "TriedAgain", f"It is tried again and again: {error or repr(error)}")

    async def reconcile(self, ref: Ref) -> Outcome:
        """Observe, plan, apply.

        Raises:
            ClusterError: the cluster did not do it; try again later.
            HubError: the hub did not do it; try again later.
        """
        now = datetime.now(UTC)
        read = await self._cluster.get(ref)
        one = self._campaigns if ref.kind == "ResearchCampaign" else self._experiments
        if read is None:
            return await one.gone(ref)
        try:
            return await one.reconcile(ref, read, now)
        except Malformed as error:
            await refuse(self._cluster, ref, read, str(error), now, self._settings)
            return Outcome()
