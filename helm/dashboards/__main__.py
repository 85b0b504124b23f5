"""Writes the dashboards, or says which are stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aar_api import schema
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import campaign, fleet


def documents() -> dict[str, str]:
    """File name to JSON."""
    pages = {"campaign.json": campaign.build(), "fleet.json": fleet.build()}
    return {name: _json(page) for name, page in pages.items()}


def _json(page: Dashboard) -> str:
    built = page.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number  # the builder leaves them equal, and a link to a panel is by its number
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def stale(folder: Path) -> list[str]:
    """Files in the folder that differ from what the code gives."""
    return schema.differing(folder, documents())


def main(arguments: list[str]) -> int:
    """Generate the dashboards, or check them."""
    return schema.generate(arguments, documents(), "helm/dashboards: run `make dashboards`")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
