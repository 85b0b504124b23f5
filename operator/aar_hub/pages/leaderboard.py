"""The leaderboard: what exploration has reported, best first."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.responses import Response

from aar_hub import views
from aar_hub.pages._page import Visit
from aar_hub.records import Campaign

MARGIN = 0.05
"""Of PGR, beyond the outermost bar, so that the lines of W and C are not cut."""


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """Every row, with its error as a bar on one common scale."""
    rows = views.leaderboard(tx)
    edges = [0.0, 1.0, *(row.pgr - row.stderr for row in rows), *(row.pgr + row.stderr for row in rows)]
    low, high = max(-1.0, min(edges)) - MARGIN, min(2.0, max(edges)) + MARGIN

    def place(pgr: float) -> float:
        return round(100 * (min(max(pgr, low), high) - low) / (high - low), 2)

    return visit.answer("leaderboard.html", campaign, part=visit.part(rows), place=place)
