"""Processes that outlived whoever should have ended them: found by the folder that their environment names, and killed.

The shim and the lab's supervisor end what they started. This is for what is left when one of them is killed: by a method, by a
person, by the kernel. A process that wipes its environment and leaves its session escapes: on one machine there are no walls.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

VARIABLE = b"TMPDIR="
"""Set for every container to a folder of its pod; the lab's supervisor gives its method one inside."""
GIVE_UP_SECONDS = 5.0
"""A killed process is gone in milliseconds; one that the kernel holds for longer cannot be helped."""


def end(folder: Path) -> int:
    """Kill every process whose temporary folder lies in `folder`, and what they start meanwhile; how many there were."""
    ended: set[int] = set()
    until = time.monotonic() + GIVE_UP_SECONDS
    while (found := _within(folder)) and time.monotonic() < until:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended.update(found)
        time.sleep(0.01)
    return len(ended)


def _within(folder: Path) -> list[int]:
    """Process ids; none on a system without /proc."""
    mark = VARIABLE + os.fsencode(folder) + b"/"
    return [int(entry) for entry in _processes() if _names(entry, mark)]


def _processes() -> list[str]:
    try:
        return [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return []


def _names(pid: str, mark: bytes) -> bool:
    try:
        # A zombie has no environment left, and so does not count.
        return any(one.startswith(mark) for one in Path("/proc", pid, "environ").read_bytes().split(b"\0"))
    except OSError:
        return False  # it has ended, or is another user's
