"""Files that somebody else renews, as a mounted Secret."""

from __future__ import annotations

from pathlib import Path

Mark = tuple[int, int, int]
"""Time, size and inode."""


def mark(file: Path) -> Mark:
    """What changes whenever a file is renewed.

    Raises:
        OSError: it cannot be found.
    """
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
