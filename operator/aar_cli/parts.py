"""The other parts of aar, asked as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from aar_cli import settings
from aar_cli.errors import BadFile, CliError, PartFailed

SECONDS = 300
"""A part answers in seconds; a machine that is busy with experiments takes its time."""
BAD_INPUT, MISSING = 2, 3
"""Exit codes by which a part says that what it was asked about is wrong, or that something has to be installed."""


def ask(module: str, *arguments: str) -> Any:
    """What `python -m module arguments` prints, read as JSON.

    Raises:
        BadFile: the part refuses what it was asked about; its sentence.
        CliError: something has to be installed; its sentence.
        PartFailed: it ended badly or printed something else.
    """
    done = _run(module, arguments)
    try:
        if done.returncode == 0:
            return json.loads(done.stdout)
    except json.JSONDecodeError:
        pass
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == BAD_INPUT:
        raise BadFile(last)
    if done.returncode == MISSING:
        raise CliError(last)
    raise PartFailed(
        f"`python -m {module} {' '.join(arguments)}` ended with {done.returncode}: {last}. Is that part installed? Try: pip install 'aar[dev]'."
    )


def names(module: str, *arguments: str) -> list[str]:
    """First words of the lines that `python -m module arguments` prints.

    Raises:
        PartFailed: it ended badly.
    """
    done = _run(module, arguments)
    if done.returncode != 0:
        raise PartFailed(
            f"`python -m {module} {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()[-300:]}"
        )
    return [line.split()[0] for line in done.stdout.splitlines() if line.strip()]


def _run(module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", module, *arguments)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=settings.for_parts()
    )
