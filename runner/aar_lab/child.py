"""One untrusted process and everything it starts: run it, keep the end of its log, and leave none of it alive.

A process group catches ordinary children. One that leaves the group (`setsid`) becomes a child of this process when its own
parent dies, since this process is a Linux "child subreaper", and is found and killed there. If this process itself is killed the
kernel kills the one it started; what that one started in turn is then nobody's, and ends with the pod.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.02
SWEEP_SECONDS = 10.0
"""How long processes that ignore nothing (SIGKILL) may take to vanish; only one stuck in the kernel takes longer."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code, or minus the signal."""

    code: int
    seconds: float
    timed_out: bool = False
    stopped: bool = False


class Log:
    """The end of a log in memory and its beginning in a file; a full disk costs the file, never the end."""

    def __init__(self, path: Path, *, file_bytes: int, tail_chars: int) -> None:
        self._left = file_bytes
        self._tail_bytes = 4 * tail_chars  # UTF-8 takes up to four bytes a character
        self._tail_chars = tail_chars
        self._tail = b""
        self._file: IO[bytes] | None = None
        with contextlib.suppress(OSError):
            self._file = path.open("wb", buffering=0)

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._tail = (self._tail + data)[-self._tail_bytes :]
        if self._left <= 0:
            return
        kept = data[: self._left]
        self._left -= len(data)
        if self._left <= 0:
            kept += b"\n... the rest of this log was left out: it is longer than the cap\n"
        self._write(kept)

    def tail(self) -> str:
        """The last characters."""
        return self._tail.decode("utf-8", errors="replace").replace("\x00", "")[-self._tail_chars :]

    def last_line(self) -> str:
        """The last line that says something."""
        return next((line.strip() for line in reversed(self.tail().splitlines()) if line.strip()), "")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads our stderr, or it too is full
            os.write(sys.stderr.fileno(), data)
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError:
                self._file.close()
                self._file = None


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    seconds: float,
    log: Log,
    stop: threading.Event,
    stop_grace: float,
    deadline_grace: float,
) -> Ended:
    """Run to the end, the deadline or `stop`; on return no process that it started is alive."""
    _adopt_orphans()
    begun = time.monotonic()
    process = subprocess.Popen(
        command, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_die_with_parent,
    )  # fmt: skip
    reader = threading.Thread(target=_drain, args=(process.stdout, log), daemon=True)
    reader.start()
    while process.poll() is None and time.monotonic() - begun < seconds and not stop.is_set():
        stop.wait(POLL_SECONDS)
    alive = process.poll() is None
    stopped = alive and stop.is_set()
    if alive:
        _end(process, stop_grace if stopped else deadline_grace)
    _signal_group(process.pid, signal.SIGKILL)
    code = process.wait()
    _sweep()
    reader.join(SWEEP_SECONDS)
    return Ended(code, time.monotonic() - begun, timed_out=alive and not stopped, stopped=stopped)


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def _drain(stream: IO[bytes] | None, log: Log) -> None:
    assert stream is not None
    with stream:
        while data := os.read(stream.fileno(), 65_536):
            log.feed(data)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _die_with_parent() -> None:
    """In the child, before the command: a method whose supervisor is killed does not go on without one."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _adopt_orphans() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _sweep() -> None:
    """Kill adopted children until there are none; each one's own children are adopted in turn."""
    give_up = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < give_up:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if reaped == 0:
            time.sleep(POLL_SECONDS)


def _children() -> list[int]:
    try:
        tasks = list(Path("/proc/self/task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:
        return []
