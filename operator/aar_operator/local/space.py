"""Space on the disk of a run: it stops while there is still enough to stop in good order."""

from __future__ import annotations

import shutil
from pathlib import Path

from aar_operator.local.errors import DiskFull

LEAST_BYTES = 32 * 1024 * 1024
"""Room for the databases' journals and for the bundles and predictions that are on their way."""


def check(folder: Path) -> None:
    """Refuse to go on in a folder whose disk is nearly full.

    Raises:
        DiskFull: it is.
    """
    free = shutil.disk_usage(folder).free
    if free < LEAST_BYTES:
        raise DiskFull(
            f"The disk of {folder} has {free / 2**20:.1f} MiB left, but a run needs at least {LEAST_BYTES >> 20}: free some space and "
            "run the same command again; it goes on from here."
        )
