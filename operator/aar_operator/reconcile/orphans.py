"""Experiments that a hub waits for although their objects are gone: somebody forced their finalizer away, or deleted one at the very
moment at which it was admitted. Nobody else would ever settle them, and verification waits for their end.
"""

from __future__ import annotations

import logging
from datetime import datetime

from aar_api.campaign import ResearchCampaign
from aar_api.wire import Settlement

from aar_operator.cluster import Cluster, Ref
from aar_operator.hubs import HubError
from aar_operator.plan.model import CampaignSeen
from aar_operator.reconcile.pool import Line

log = logging.getLogger(__name__)
SWEEP_SECONDS = 30.0
"""Between two looks: one call, for what hardly ever happens."""
LOST = Settlement(job_name="", job_uid="", outcome="cancelled")


async def settle_orphans(
    cluster: Cluster, campaign: ResearchCampaign, line: Line, seen: CampaignSeen, now: datetime
) -> None:
    """Now and then have the hub settle them as cancelled: those that had no object twice in a row, everything that the hub had
    asked for before having been carried out.
    """
    caught_up = seen.feed is not None and seen.feed.cursor == campaign.status.feed_cursor
    due = line.swept is None or (now - line.swept).total_seconds() >= SWEEP_SECONDS
    if not (caught_up and due):
        return
    line.swept, before, line.orphans = now, line.orphans, frozenset()
    space = campaign.metadata.namespace
    try:
        names = {one.name for one in await line.hub.unsettled()}
        line.orphans = frozenset({name for name in names if await cluster.get(Ref("Experiment", space, name)) is None})
        for name in sorted(line.orphans & before):
            if await cluster.look(Ref("Experiment", space, name)) is None:
                await line.hub.settle(name, LOST)
                log.warning(
                    "Experiment %s/%s is gone, but the hub waited for it: it is settled as cancelled.", space, name
                )
    except HubError as error:
        log.info("The hub of %s/%s was not asked what it waits for: %s", space, campaign.metadata.name, error)
