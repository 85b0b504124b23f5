"""Tables, and the file that keeps the last figures of every measurement."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "operator.md"
TITLE = "# The operator on a real control plane\n\nWritten by `python benchmarks/operatorbench`; see ../README.md.\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(title: str, text: str) -> None:
    """Print a section and put it into the file in place of an older one of that title."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    under = f"Python {platform.python_version()}, {os.cpu_count()} cores, load averages {load}, {datetime.now(UTC):%Y-%m-%d}."
    section = f"## {title}\n\n{text}\n\n{under}\n"
    print(f"\n{section}")
    RESULTS.parent.mkdir(exist_ok=True)
    known = RESULTS.read_text() if RESULTS.exists() else TITLE
    older = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    RESULTS.write_text(older.sub(lambda _: f"{section}\n", known) if older.search(known) else f"{known}\n{section}")
