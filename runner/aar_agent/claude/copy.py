"""The copy of the transcript at the hub: sent a line at a time in order, numbered, again if in doubt. It never holds research up."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from aar_agent.errors import HubRefused
from aar_agent.hub import Hub

BATCH_LINES = 200
BATCH_BYTES = 1 << 20


class Copy:
    """Where the copy is up to; the file that remembers it may be lost, since the hub knows lines by their number."""

    def __init__(self, hub: Hub, transcript: Path, log: logging.Logger) -> None:
        self._hub, self._path, self._log = hub, transcript, log
        self._mark = transcript.with_suffix(".copied")
        self._line, self._offset = self._read()
        self._off = False

    def push(self) -> None:
        """Send what is new."""
        while not self._off:
            lines, end = self._next()
            if not lines:
                return
            try:
                self._hub.keep_transcript(self._line, lines)
            except HubRefused as refusal:
                self._log.warning("the hub keeps no copy of the transcript (%s): %s", refusal.status, refusal)
                self._off = True
                return
            self._line, self._offset = self._line + len(lines), end
            draft = self._mark.with_suffix(".draft")
            with contextlib.suppress(
                OSError
            ):  # on a full disk; after a restart lines are sent again, which does no harm
                draft.write_text(f"{self._line} {self._offset}")
                draft.replace(self._mark)

    def _next(self) -> tuple[list[str], int]:
        lines: list[str] = []
        size = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while len(lines) < BATCH_LINES and size < BATCH_BYTES and (line := file.readline()).endswith(b"\n"):
                lines.append(line[:-1].decode("utf-8", "replace"))
                size += len(line)
        return lines, self._offset + size

    def _read(self) -> tuple[int, int]:
        try:
            line, offset = map(int, self._mark.read_text().split())
        except (OSError, ValueError):
            return 0, 0
        return (line, offset) if offset <= self._path.stat().st_size else (0, 0)
