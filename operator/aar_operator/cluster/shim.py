"""Start one container's command as a process group of its own, and see that it ends with whoever started it.

Standard library only, so that it starts in milliseconds. Usage: `shim.py STARTER RECORD LOG -- COMMAND...`, the first a process id. Ends with the command's exit code,
after it has written {"exitCode", "startedAt", "finishedAt"} to RECORD. On SIGTERM the group is asked to end and killed after a grace
period; when the starter is gone the group is killed at once, and when this process itself is killed the kernel kills the command.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 8.0
"""Between SIGTERM and SIGKILL; shorter than the 10 s in which a whole run must stop."""
POLL_SECONDS = 0.2
"""How often the parent is looked at: the longest that an orphan lives. Looking is cheaper than it is seldom."""
ORPHANED = 128 + signal.SIGKILL
"""Exit code if whoever started this was gone before the command was begun."""
MAX_LOG_BYTES = 32 * 1024 * 1024
"""A container's log is cut off here, so that a flood of output cannot fill the disk."""

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


class Shim:
    """One supervised process group."""

    def __init__(self, starter: int, record: Path, log: Path, command: list[str]) -> None:
        # Told, not asked of the system: a starter that is killed meanwhile would never be missed.
        self.starter = starter
        self.record, self.log, self.command = record, log, command
        self.kill_at: float | None = None

    def run(self) -> int:
        """Run to the end; the exit code, 128 plus the signal if one ended it, as Kubernetes reports it."""
        if self._orphaned():
            return ORPHANED
        started = time.time()
        signal.signal(signal.SIGTERM, self._asked_to_end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with self.log.open("ab") as log:
            # The log's size is a limit on every file of the group only if the group sets it; so the shim looks instead.
            child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent,
            )  # fmt: skip
            self.child = child
            code = self._wait(child)
            code = code if code >= 0 else 128 - code
        self._signal(signal.SIGKILL)
        self._write({"exitCode": code, "startedAt": started, "finishedAt": time.time()})
        return code

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return child.wait(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                self._look()

    def _look(self) -> None:
        late = self.kill_at is not None and time.monotonic() > self.kill_at
        flooding = self.log.stat().st_size > MAX_LOG_BYTES
        if self._orphaned() or late or flooding:
            self._signal(signal.SIGKILL)

    def _orphaned(self) -> bool:
        return os.getppid() != self.starter

    def _asked_to_end(self, _number: int, _frame: FrameType | None) -> None:
        if self.kill_at is None:
            self.kill_at = time.monotonic() + GRACE_SECONDS
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.child.pid, number)
        except (ProcessLookupError, AttributeError):
            return

    def _write(self, outcome: dict[str, float]) -> None:
        draft = self.record.with_suffix(".draft")
        draft.write_text(json.dumps(outcome))
        draft.replace(self.record)


def _die_with_parent() -> None:
    """In the child, before the command: whoever kills this process, or the whole run at once, leaves no command behind."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(arguments: list[str]) -> int:
    """Entry point."""
    starter, record, log, dashes, *command = arguments
    if dashes != "--" or not command:
        sys.stderr.write("usage: shim.py STARTER RECORD LOG -- COMMAND...\n")
        return 2
    return Shim(int(starter), Path(record), Path(log), command).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
