"""The transcript: one JSON record a line, appended and fsynced, never changed.

session   a conversation begins: `model`, `reason`
message   the harness speaks: `text`
answer    the model speaks: `content`, `stop`, `usage`, `id`
result    a tool answered: `call` (its id), `tool`, `text`, `error`
news      what is told at the end of a turn's results: `text`; after it the turn is closed
summary   a compaction block that stands for all before it: `content`
fault     something went wrong and was dealt with: `text`
end       the researcher is done: `reason`
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aar_agent.claude.ballast import Ballast

Record = dict[str, Any]


class Transcript:
    """The file, by one process at a time."""

    def __init__(self, path: Path, ballast: Ballast) -> None:
        """Open it, and cut a last line that a kill left unfinished."""
        self.path, self._ballast = path, ballast
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.lines = _mend(self._file)

    def append(self, kind: str, **rest: Any) -> Record:
        """Keep a record: it is on disk when this returns.

        Raises:
            OSError: it is not; nothing of it is.
        """
        record = {"n": self.lines, "kind": kind, **rest}
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        try:
            self._write(line)
        except OSError:
            if not self._ballast.drop():
                raise
            self._write(line)
        self.lines += 1
        return record

    def _write(self, line: bytes) -> None:
        whole = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, whole)  # or the next record would follow half of this one, and be cut off with it
            raise

    def records(self) -> Iterator[Record]:
        """Every record, oldest first."""
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line.decode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _mend(file: int) -> int:
    """Cut what follows the last whole record; the number of whole records."""
    whole = lines = 0
    with os.fdopen(os.dup(file), "rb") as reader:
        reader.seek(0)
        for line in reader:
            if not line.endswith(b"\n") or not _readable(line):
                break
            whole, lines = whole + len(line), lines + 1
    if whole != os.fstat(file).st_size:
        os.ftruncate(file, whole)
        os.fsync(file)
    return lines


def _readable(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode("utf-8", "surrogatepass")), dict)
    except ValueError:
        return False
