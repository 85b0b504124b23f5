"""The other parts of aar, asked as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from aar_cli.errors import PartFailed

SECONDS = 60


def ask(module: str, *arguments: str) -> Any:
    """What `python -m module arguments` prints, read as JSON.

    Raises:
        PartFailed: it ended badly or printed something else.
    """
    command: Sequence[str] = (sys.executable, "-m", module, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    try:
        if done.returncode == 0:
            return json.loads(done.stdout)
    except json.JSONDecodeError:
        pass
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise PartFailed(
        f"`python -m {module} {' '.join(arguments)}` ended with {done.returncode}: {last}. Is that part installed? Try: pip install 'aar[dev]'."
    )
