"""One run a directory."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from aar_operator.local.errors import DirectoryInUse

WAIT_SECONDS = 12.0
"""A run that was told to stop needs up to 10 s; wait that long for it."""


def hold(folder: Path, waiting: Callable[[str], None]) -> int:
    """Take the directory for this process; the descriptor that holds it until it is closed, or the process ends.

    Raises:
        DirectoryInUse: another run keeps it.
    """
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + WAIT_SECONDS
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode() or "unknown"
            if time.monotonic() > until:
                os.close(descriptor)
                raise DirectoryInUse(
                    f"{folder} is in use by another run (process {owner}), but two runs in one directory would spoil each other: "
                    "wait for it, stop it, or name another directory with --dir."
                ) from None
            if not told:
                waiting(f"{folder} is held by process {owner}; waiting a little for it to stop.")
                told = True
            time.sleep(0.2)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
