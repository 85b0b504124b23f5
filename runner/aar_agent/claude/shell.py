"""A bash that keeps its directory and variables from one command to the next, and never keeps the researcher waiting.

A command is read from a file by `source`, so that no quoting can break the session; a line that cannot be guessed marks its end.
All processes carry the session's mark in their environment, so that a kill also finds those that left the process group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

KEEP = 8_000
"""Characters shown of the beginning and of the end of an output: 16,000 together."""
FILE_BYTES = 1_000_000
"""Of a longer output this much is kept in a file."""
FILES = 20
FLOOD_BYTES = 64_000_000
"""A command that writes more is ended: nobody reads it, and a day of it fills a disk."""
POLL_SECONDS = 0.2
STOP_GRACE_SECONDS = 5.0
"""What a running command gets when the sandbox is asked to end; the local shim kills after 8 s, Kubernetes after 30 s."""
MARK = "AAR_SHELL"
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Memory of the sandbox, if the kernel says it there: what goes above it ends every process of the pod, the harness too."""
_PR_SET_DUMPABLE = 4
SWEEPS = 5
"""Looks for processes to kill: a fork may fall between two."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    text: str
    code: int | None
    """Exit code; none if the session ended with it."""
    note: str = ""


class Output:
    """Head and tail of a stream, in bounded memory."""

    def __init__(self) -> None:
        self.head, self.tail, self.size = bytearray(), bytearray(), 0
        self.kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take more."""
        self.size += len(data)
        self.kept += data[: FILE_BYTES - len(self.kept)]
        room = KEEP - len(self.head)
        self.head += data[:room]
        self.tail += data[room:] if room > 0 else data
        if len(self.tail) > 4 * KEEP:
            del self.tail[:-KEEP]

    def text(self, where: str) -> str:
        """What is shown of it."""
        tail = bytes(self.tail[-KEEP:])
        if self.size <= len(self.head) + len(tail):
            return (bytes(self.head) + tail).decode("utf-8", "replace")
        left_out = self.size - len(self.head) - len(tail)
        gap = f"\n[... {left_out} bytes left out; the first {FILE_BYTES} are in {where} ...]\n"
        return self.head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")


class Shell:
    """One session; it starts with the first command and again after it was killed."""

    def __init__(self, folder: Path, scratch: Path, environment: Mapping[str, str], stop: threading.Event) -> None:
        self._folder, self._scratch, self._stop = folder, scratch, stop
        self._mark = secrets.token_hex(16)
        self._environment = {**environment, MARK: self._mark}
        self._child: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def run(self, command: str, seconds: float) -> Ran:
        """Run a command to its end, its time-out, or the end of the session."""
        child = self._start()
        self._runs += 1
        out = self._outputs() / f"{self._runs % FILES}.txt"
        script = self._scratch / "command.sh"
        script.write_text(command + "\n", encoding="utf-8", errors="surrogatepass")
        end = f"\x1e{secrets.token_hex(12)} ".encode()
        line = f"source {shlex.quote(str(script))} </dev/null; printf '\\036%s %d\\036' {end[1:-1].decode()} $?\n"
        output = Output()
        try:
            assert child.stdin is not None
            child.stdin.write(line.encode())
            child.stdin.flush()
        except BrokenPipeError:
            code, note = None, "[the session had ended; it starts anew with the next command]"
        else:
            code, note = self._read(child, end, output, seconds)
        if code is None:
            self.close()
        with contextlib.suppress(OSError):  # a disk that the command filled must not hide what it said
            out.write_bytes(output.kept)
        return Ran(output.text(str(out.relative_to(self._folder))), code, note)

    def close(self) -> None:
        """End every process of the session."""
        child, self._child = self._child, None
        if child is None:
            return
        for _ in range(SWEEPS):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            if not _kill_marked(f"{MARK}={self._mark}".encode()) and child.poll() is not None:
                break
            time.sleep(POLL_SECONDS)  # to die takes a moment
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_bounded(LIMIT),
            )
        return self._child

    def _outputs(self) -> Path:
        folder = self._folder / ".outputs"
        folder.mkdir(exist_ok=True)
        return folder

    def _read(
        self, child: subprocess.Popen[bytes], end: bytes, output: Output, seconds: float
    ) -> tuple[int | None, str]:
        """Exit code and remark; no code if the session cannot go on."""
        assert child.stdout is not None
        handle, held = child.stdout.fileno(), b""
        give_up, stopping = time.monotonic() + seconds, False
        while True:
            ready, _, _ = select.select([handle], [], [], POLL_SECONDS)
            data = os.read(handle, 1 << 16) if ready else None
            if data == b"":
                output.add(held)
                return None, "[the command ended the session; directory and variables are gone]"
            held += data or b""
            before, found, after = held.partition(end)
            if found and b"\x1e" in after:
                output.add(before)
                return int(after.partition(b"\x1e")[0]), ""
            if not found:
                # All but what may be the beginning of the mark.
                output.add(held[: -len(end)])
                held = held[-len(end) :]
            if self._stop.is_set() and not stopping:
                stopping, give_up = True, min(give_up, time.monotonic() + STOP_GRACE_SECONDS)
            if trouble := _trouble(output, seconds, give_up, stopping):
                output.add(held)
                return None, f"[{trouble}; every process of the session was killed, directory and variables are gone]"


def hide() -> None:
    """Keep other processes of this user from reading this one's environment and memory; root reads them all the same."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _bounded(limit: Path) -> Callable[[], None] | None:
    """What keeps each process of a session at half of a limit of memory, so that its command fails and nothing else; none without a limit."""
    try:
        most = int(limit.read_text()) // 2
    except (OSError, ValueError):  # no file, or `max`
        return None
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _trouble(output: Output, seconds: float, give_up: float, stopping: bool) -> str:
    if output.size > FLOOD_BYTES:
        return f"the command wrote more than {FLOOD_BYTES} bytes"
    if time.monotonic() < give_up:
        return ""
    return "interrupted: the sandbox is asked to end" if stopping else f"timed out after {seconds:g} s"


def _kill_marked(mark: bytes) -> bool:
    """Kill every process that has the mark in its environment; whether there was one."""
    found = False
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                found = True
    return found
