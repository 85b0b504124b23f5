"""Second step, outside: `python -m aar_lab.supervise` runs `aar_lab.train` and says how it ended.

The method's process gets no token, no output folder and a deadline. What it leaves is read only when it and all it started are
dead, checked here, and written again by this process: nothing in the output folder comes from the method's hand. A method that
fails is not a failure of this step: it exits 0, so that `post` runs and tells the hub why.

What is no boundary: both processes run as one user. A method can kill its supervisor (the step then fails and nothing is
posted) and, on one machine, read and write whatever that user can. In a pod the input is mounted read-only.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import stat
import sys
import threading
from pathlib import Path

from aar_api import files
from aar_api.errors import AarError
from aar_api.files import Assignment, BundleInfo, LabReport
from pydantic import ValidationError

from aar_lab import child, outputs
from aar_lab import settings as lab_settings
from aar_lab.bundle import Bundle
from aar_lab.child import Ended, Log
from aar_lab.errors import InvalidPredictions
from aar_lab.exits import REASON_BY_EXIT
from aar_lab.settings import Settings

LOG_FILE = "train.log"
LOG_FILE_BYTES = 10_000_000
MESSAGE_CHARS = 1000
STOP_GRACE_SECONDS = 10.0
"""For a method that is told to stop; a third of the 30 s Kubernetes gives the pod."""

DEADLINE_GRACE_SECONDS = 2.0
BALLAST_BYTES = 262_144
"""Held in the output folder and let go at the end, so that the report of a full disk finds room."""

MAX_OUTPUT_BYTES = 4 * 1024**3
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


def supervise(settings: Settings, stop: threading.Event) -> tuple[LabReport, bool]:
    """Run the method; its report as written, and whether the run was stopped from outside."""
    assignment = Assignment.model_validate_json(settings.assignment_file.read_bytes())
    info = Bundle(settings.bundle_dir).info
    seconds = settings.deadline_seconds or float(assignment.deadline_seconds)
    for folder in (settings.scratch_dir, settings.result_dir, settings.output_dir):
        _empty(folder)
    ballast = settings.output_dir / ".ballast"
    ballast.write_bytes(b"\0" * BALLAST_BYTES)
    kills_before = _oom_kills()
    log = Log(settings.output_dir / LOG_FILE, file_bytes=LOG_FILE_BYTES, tail_chars=files.LOG_TAIL_CHARS)
    ended = child.run(
        [sys.executable, "-m", "aar_lab.train"],
        environment=lab_settings.child_environment(settings, seconds),
        folder=settings.scratch_dir,
        seconds=seconds,
        log=log,
        stop=stop,
        stop_grace=STOP_GRACE_SECONDS,
        deadline_grace=DEADLINE_GRACE_SECONDS,
    )
    log.close()
    shutil.rmtree(settings.scratch_dir, ignore_errors=True)
    _remove(ballast)
    reason, message = why_failed(ended, seconds, log.last_line(), ran_out_of_memory=_oom_kills() > kills_before)
    if not reason:
        reason, message = _hand_over(settings, assignment, info)
    report = LabReport(
        ok=not reason,
        reason=reason,
        message=message[:MESSAGE_CHARS],
        log_tail=log.tail(),
        seconds=round(ended.seconds, 3),
    )
    _write(settings.output_dir / files.REPORT, report.model_dump_json(by_alias=True).encode())
    return report, ended.stopped


def why_failed(ended: Ended, seconds: float, last_line: str, *, ran_out_of_memory: bool) -> tuple[str, str]:
    """Reason and sentence; both empty when the process ended well."""
    if ended.stopped:
        return "Killed", f"The run was stopped from outside after {ended.seconds:.0f} s."
    if ended.timed_out:
        return (
            "DeadlineExceeded",
            f"The method ran past its deadline of {seconds:g} s; look at lab.time_left(), or do less.",
        )
    if ended.code == 0:
        return "", ""
    if reason := REASON_BY_EXIT.get(ended.code):
        return reason, last_line or f"The method's process ended with exit code {ended.code} and no word."
    if ended.code > 0:
        return (
            "MethodError",
            f"The method's process ended with exit code {ended.code} instead of returning predictions.",
        )
    if ran_out_of_memory:
        return (
            "OutOfMemory",
            "The kernel ended the method: it needed more memory than its pod has. Use smaller batches or fewer models.",
        )
    return (
        "Killed",
        f"The method's process was ended by {_signal_name(-ended.code)}, which the supervisor did not send.",
    )


def _hand_over(settings: Settings, assignment: Assignment, info: BundleInfo) -> tuple[str, str]:
    """Check what the method left and write it anew."""
    try:
        arrays = outputs.read(_read_result(settings.result_dir / files.OUTPUT), assignment, info)
    except InvalidPredictions as error:
        return error.reason, str(error)
    try:
        _write(settings.output_dir / files.OUTPUT, outputs.write(arrays))
    except OSError as error:
        _remove(settings.output_dir / files.OUTPUT)
        return "NoSpace", f"The predictions could not be written: {error}."
    return "", ""


def _read_result(path: Path) -> bytes:
    """A plain file and no link: a link could point at what only this process may read, a pipe would hold it for ever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidPredictions(
            f"The method's process ended without predictions ({error.strerror}); `train` must return them, and not leave the process."
        ) from error
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_OUTPUT_BYTES:
            raise InvalidPredictions(f"The output is no plain file of at most {MAX_OUTPUT_BYTES} bytes.")
        return file.read()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, whatever the method may have put there."""
    part = path.with_name(f".{path.name}.part")
    for place in (part, path):
        _remove(place)
    part.write_bytes(data)
    part.replace(path)


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _oom_kills() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in _CGROUP_EVENTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main() -> int:
    """Exit 0 when a report is written, 143 when stopped by SIGTERM, 1 when this step itself broke."""
    if lab_settings.holds_token():
        # A method of the same user could read our environment in /proc: begin again without the token.
        os.execve(sys.executable, [sys.executable, "-m", "aar_lab.supervise"], lab_settings.without_token())  # noqa: S606
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        report, stopped = supervise(lab_settings.load(), stop)
    except (AarError, OSError, ValidationError) as error:
        sys.stderr.write(f"aar_lab.supervise: {error}\n")
        return 1
    if not report.ok:
        sys.stderr.write(f"{report.reason}: {report.message}\n")
    return 128 + signal.SIGTERM if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
