"""A person at a terminal: the live panel, Ctrl-C, and the same command again."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest
from local import campaigns

STOPS_WITHIN = 60.0
"""Seconds; it is 10 on a quiet machine, which a test on a busy one cannot hold anybody to."""
COLUMNS = 80
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


class Terminal:
    """A program with a terminal of 80 columns and 24 lines."""

    def __init__(self, *command: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=campaigns.ENVIRON | environment | {"TERM": "xterm-256color"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self._bytes = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65_536)
            except OSError:  # the other end is closed
                return
            self._bytes += data

    def press(self, key: bytes) -> None:
        """A key."""
        os.write(self._master, key)

    @property
    def text(self) -> str:
        """Everything that was drawn, without its colours."""
        return ESCAPES.sub("", self._bytes.decode(errors="replace"))

    def until(self, pattern: str, seconds: float = 600) -> None:
        """Wait until it is drawn."""
        give_up = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert self.process.poll() is None, self.text[-3000:]
            assert time.monotonic() < give_up, f"{pattern!r} was not drawn:\n{self.text[-3000:]}"
            time.sleep(0.05)


def test_ctrl_c_at_a_terminal_and_on_from_there(tmp_path: Path, cache: str) -> None:
    whole = campaigns.campaign("stop", activeDeadlineSeconds=3600)
    file, folder = campaigns.write(tmp_path, whole), tmp_path / "run"
    terminal = Terminal(str(campaigns.AAR), "run", str(file), "--dir", str(folder), AAR_CACHE_DIR=cache)
    try:
        terminal.until(r"Preparing  >  Researching  >  Verifying  >  Complete")
        terminal.until(r"\w{8} +r\d +explore +\S+ +running")
        terminal.press(b"\x03")
        assert terminal.process.wait(STOPS_WITHIN) == 130
    finally:
        terminal.process.kill()
    said = terminal.text
    assert "Traceback" not in said
    assert re.search(r"stop  http://127\.0\.0\.1:\d+", said)
    assert "chat: W 0." in said
    assert re.search(r"of 1\.00 USD spent, 0\.\d+ held", said)
    assert re.search(r"since the start, \d:\d\d:\d\d left for research", said)
    # The terminal echoes Ctrl-C at the end of whatever line stands there.
    panel = [line for line in said.replace("^C", "").splitlines() if line.startswith(("│", "╭", "╰"))]
    assert panel
    assert max(map(len, panel)) <= COLUMNS
    assert f"run the same command: aar run {file} --dir {folder}" in said.replace("\r\n", "")
    assert campaigns.alive_in(folder) == []
    code, then = campaigns.finished(file, folder, AAR_CACHE_DIR=cache)
    assert code == 0, then
    campaigns.check_ledger(folder, "1.00")
    campaigns.check_scores(folder)


def test_a_killed_command_line_takes_the_run_with_it(tmp_path: Path, cache: str) -> None:
    file, folder = campaigns.write(tmp_path, campaigns.campaign("gone")), tmp_path / "run"
    with campaigns.started(file, folder, AAR_CACHE_DIR=cache) as run:
        run.until("metrics http")
        campaigns.slay(run.process.pid)
        give_up = time.monotonic() + STOPS_WITHIN
        while campaigns.alive_in(folder):
            assert time.monotonic() < give_up
            time.sleep(0.1)
