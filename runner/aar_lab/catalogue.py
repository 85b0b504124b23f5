"""The shipped methods as cards: `python -m aar_lab.catalogue [--source]` prints them as JSON, without torch."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

from aar_api import plugins
from aar_api.wire import MethodCard

from aar_lab import methods


def cards(*, source: bool) -> list[MethodCard]:
    """A card a method, sorted by name."""
    return [_card(name, plugins.load(methods, name, "method"), source=source) for name in plugins.names(methods)]


def _card(name: str, module: ModuleType, *, source: bool) -> MethodCard:
    return MethodCard(
        name=name,
        summary=module.SUMMARY,
        citation=module.CITATION,
        space=module.SPACE,
        uses_weak_labels=module.USES_WEAK_LABELS,
        source=Path(inspect.getfile(module)).read_text(encoding="utf-8") if source else "",
    )


def main() -> int:
    """Print the cards."""
    parser = argparse.ArgumentParser(prog="python -m aar_lab.catalogue", description=__doc__)
    parser.add_argument("--source", action="store_true", help="include the source of each method")
    json.dump([card.dump() for card in cards(source=parser.parse_args().source)], sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
