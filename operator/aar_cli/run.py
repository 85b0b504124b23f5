"""`aar run`: start the operator, show what it says, draw the report."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from aar_cli import checks, documents, figures, page, settings
from aar_cli.errors import EXIT_COMPLETE, EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_INTERRUPTED, BadFile, CliError
from aar_cli.view import View

REFRESH_SECONDS = 0.5
ERROR_TAIL = 2000
STOP_SECONDS = 20.0
"""A run stops within 10 s; a busy machine takes longer."""


@dataclass
class Stop:
    """Ctrl-C: the first asks, the second kills."""

    child: subprocess.Popen[str]
    view: View
    asked: int = field(default=0)

    def __call__(self, *_: object) -> None:
        """Act on a signal."""
        self.asked += 1
        if self.asked > 1:
            self.child.kill()
            return
        self.view.say("Stopping; what is done is kept. Press Ctrl-C again to kill.")
        self.child.terminate()


def run(
    file: Path, folder: Path | None, port: int | None, gpus: int | None, console: Console, provider: str | None = None
) -> int:
    """Run a campaign to its end; the exit code. `provider` is the address of a double in the LLM provider's place.

    Raises:
        CliError: its researchers need an LLM, and there is no key.
    """
    given = documents.read(file)
    model = given.campaign.spec.researchers.model
    if model is not None and provider is None and not settings.has_provider_key():
        raise CliError(
            f"The researchers need {model}, but {settings.PROVIDER_KEY} is not set: export your key, or try it without one "
            "with --fake-llm competent."
        )
    folder = folder or Path("runs") / given.campaign.metadata.name
    if not any(folder.glob("*.sqlite")):
        # A directory keeps its task for good, so that a wrong one is better found before there is a directory.
        checks.check(file, given)
    with tempfile.TemporaryDirectory(prefix="aar-") as scratch:
        text = Path(scratch, "campaign.yaml")
        text.write_text(given.text(), encoding="utf-8")
        command = [sys.executable, "-m", "aar_operator.main", "local", "--dir", str(folder), "--campaign", str(text)]
        command += [] if port is None else ["--port", str(port)]
        command += [] if gpus is None else ["--gpus", str(gpus)]
        console.print(f"campaign {given.campaign.metadata.name} in {folder}", highlight=False, soft_wrap=True)
        with View(console) as view:
            for notice in given.notices:
                view.say(notice)
            code = _watch(command, text, folder, view, settings.for_operator(provider))
    if code == EXIT_INTERRUPTED:
        again = f"aar run {file} --dir {folder}"
        console.print(f"Stopped. To go on from here, run the same command: {again}", highlight=False, soft_wrap=True)
    if code == EXIT_FAILED:
        console.print(f"{folder} keeps what was done; to try again, name another directory with --dir.", soft_wrap=True)
    if code in (EXIT_COMPLETE, EXIT_FAILED, EXIT_INTERRUPTED):
        finish(folder, console)
    return code


def _watch(command: list[str], text: Path, folder: Path, view: View, environment: dict[str, str]) -> int:
    errors: list[str] = []
    # A session of its own: Ctrl-C reaches the operator once, from here, not a second time from the terminal.
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    stop = Stop(child, view)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
    tail: list[str] = []
    listener = threading.Thread(target=lambda: tail.extend(child.stderr or ()), daemon=True)
    listener.start()
    try:
        _follow(lines, view, errors, text, folder)
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(STOP_SECONDS)
        for number, handler in before.items():
            signal.signal(number, handler)
    listener.join(1)
    for error in errors:
        view.say(f"error: {error}")
    if code not in (0, 1, 2, 3, 130) or (code == 1 and not errors and tail and view.campaign is None):
        if stop.asked:
            return EXIT_INTERRUPTED
        view.say(f"error: the operator ended with {code}: {''.join(tail)[-ERROR_TAIL:].strip() or 'it said nothing'}")
        return EXIT_ENVIRONMENT
    return code


def _follow(lines: queue.Queue[str | None], view: View, errors: list[str], text: Path, folder: Path) -> None:
    kept = False
    while True:
        try:
            line = lines.get(timeout=REFRESH_SECONDS)
        except queue.Empty:
            view.refresh()
            continue
        if line is None:
            return
        event = _event(line)
        if event is None:
            view.say(line.rstrip())
            continue
        if event["event"] == "status" and not kept:
            # Only now: the directory belongs to this run, as the operator holds its lock.
            _keep(text, folder)
            kept = True
        if event["event"] == "error":
            errors.append(event["message"])
        elif event["event"] == "done":
            view.say(f"{event['phase']}: {event['message']}".rstrip(": "))
        else:
            view.hear(event)


def _keep(text: Path, folder: Path) -> None:
    try:
        shutil.copyfile(text, folder / "campaign.yaml")
    except OSError as error:
        raise CliError(
            f"{folder} cannot be written ({error.strerror}): correct that and run the same command again."
        ) from error


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def finish(folder: Path, console: Console) -> int:
    """Draw what is there to draw and show the table."""
    try:
        report = page.read(folder)
    except BadFile:
        return EXIT_COMPLETE
    written = page.write(report, folder)
    for line, style in figures.terminal(report):
        detail = line.startswith(figures.INDENT)
        shown = Padding(Text(line.strip(), style), (0, 0, 0, len(figures.INDENT))) if detail else Text(line, style)
        console.print(shown, soft_wrap=not detail)
    console.print("Written: " + ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    return EXIT_COMPLETE
