"""Room that the harness keeps for itself on a volume that the researcher's shell shares, and can fill."""

from __future__ import annotations

import os
from pathlib import Path

BYTES = 16 << 20
"""A hundred turns' records: more than the model needs to be told, and to delete something."""


class Ballast:
    """A file that is given up where a record would not fit any more, and made anew once there is room."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> bool:
        """Hold the room if there is as much again beside it; whether all that is so."""
        try:
            room = os.statvfs(self._path.parent)
            left = room.f_bavail * room.f_frsize
            if self._path.exists() and self._path.stat().st_size == BYTES:
                return left >= BYTES
            if left < 2 * BYTES:
                return False
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BYTES)
        except OSError:
            self.drop()
            return False
        return True

    def drop(self) -> bool:
        """Give the room up; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
