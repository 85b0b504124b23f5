"""A snapshot: the source as it was uploaded, where it comes from and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.responses import Response

from aar_hub import snapshots
from aar_hub.pages import disclosure
from aar_hub.pages._page import Visit
from aar_hub.records import Campaign
from aar_hub.store import tables


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """Source, ancestors, children, experiments."""
    found = snapshots.get(tx, visit.hub, visit.path("digest"))
    table = tables.snapshots.c
    rows = tx.execute(sa.select(table.digest, table.parents, table.author, table.created)).mappings()
    known = {row["digest"]: row for row in rows}
    return visit.answer(
        "snapshot.html",
        campaign,
        snapshot=found,
        created=known[found.digest]["created"],
        ancestors=[(depth, known[one]) for depth, one in ancestors(found.digest, known)],
        children=[row for row in known.values() if found.digest in row["parents"]],
        lines=disclosure.lines(tx, campaign, tables.experiments.c.snapshot == found.digest),
    )


def ancestors(digest: str, known: dict[str, sa.RowMapping]) -> list[tuple[int, str]]:
    """Every ancestor once with its distance, parents first; parents are there before their children, so there is no ring."""
    found: dict[str, int] = {}
    layer, depth = list(known[digest]["parents"]), 1
    while layer:
        fresh = [one for one in dict.fromkeys(layer) if one not in found]
        found |= dict.fromkeys(fresh, depth)
        layer, depth = [parent for one in fresh for parent in known[one]["parents"]], depth + 1
    return [(distance, one) for one, distance in found.items()]
