"""Real campaigns on this machine, as a person starts them: small sizes of a real task, the real console script, real training.

What the programs left behind is read from the hub's database and the cluster's, with queries of this file's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from aar_api import money

ENVIRON = dict(os.environ)
AAR = Path(sys.executable).with_name("aar")
# Wrong replies from anywhere and few teacher's rows: a gap of about 0.2 between W and C at sizes that train in a second.
SMALL = {
    "negatives": "simple",
    "nLabelled": 60,
    "nTrain": 240,
    "nTest": 300,
    "weakLayers": 1,
    "strongLayers": 6,
    "maxTokens": 24,
}
# Rows that belong together by the encoder's own judgement: what a person may well come up with, and far better than vanilla here.
SIMILAR = '''\
"""Trust the frozen encoder's similarity more than the teacher, in what is learned and in what is said."""

import numpy as np


def train(lab):
    guess, trust = lab.similarity("train"), min(1.0, lab.config["trust"])  # whoever adopts this tries more than 1
    model = lab.finetune(trust * (guess > np.median(guess)) + (1 - trust) * lab.weak)
    likely = lab.similarity("test").argsort().argsort() / (lab.info.n_test - 1)
    return (1 - trust) * lab.predict(model) + trust * likely
'''


def campaign(name: str, **more: Any) -> dict[str, Any]:
    """A small campaign; `more` replaces parts of its spec."""
    spec = {
        "task": {"name": "chat", "params": SMALL},
        "researchers": {"kind": "search", "count": 2},
        "experiments": {"parallelism": 2, "maxCount": 4, "seeds": 2, "activeDeadlineSeconds": 600},
        "budget": {"limitUSD": "1.00"},
        "evaluation": {"baselineSeeds": 2, "replication": {"topK": 1, "seeds": 2}},
    }
    return {
        "apiVersion": "aar.dev/v1alpha1",
        "kind": "ResearchCampaign",
        "metadata": {"name": name},
        "spec": spec | more,
    }


def experiment(name: str, campaign: str, method: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A person's own Experiment."""
    return {
        "apiVersion": "aar.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {"campaignRef": campaign, "method": dict(method), **more},
    }


def write(folder: Path, *documents: Mapping[str, Any]) -> Path:
    """The campaign file."""
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return path


class Started:
    """One `aar run`, with what it has said so far."""

    def __init__(self, file: Path, folder: Path, *more: str, **environment: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [str(AAR), "run", str(file), "--dir", str(folder), *more], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRON | environment,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        """Everything so far."""
        return "\n".join(self.lines)

    def wait(self, seconds: float = 1200) -> int:
        """Its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def until(self, pattern: str, seconds: float = 600) -> re.Match[str]:
        """Wait until it says something."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            found = re.search(pattern, self.said)
            if found is not None:
                return found
            assert self.process.poll() is None, f"it ended before it said {pattern!r}:\n{self.said}"
            time.sleep(0.05)
        raise AssertionError(f"it did not say {pattern!r} within {seconds:g} s:\n{self.said}")

    def operator(self) -> int | None:
        """Process id of the operator it started."""
        return next((pid for pid in children(self.process.pid) if "aar_operator.main" in command(pid)), None)

    def kill(self) -> None:
        """End everything this run started, at once, if anything is left of it."""
        with contextlib.suppress(ProcessLookupError):
            for pid in [*tree(self.process.pid), self.process.pid]:
                slay(pid)
        self.process.wait(30)


@contextlib.contextmanager
def started(file: Path, folder: Path, *more: str, **environment: str) -> Iterator[Started]:
    """One `aar run` that is not left behind."""
    run = Started(file, folder, *more, **environment)
    try:
        yield run
    finally:
        run.kill()


def finished(file: Path, folder: Path, *more: str, **environment: str) -> tuple[int, str]:
    """Exit code and words of an `aar run` from start to end."""
    with started(file, folder, *more, **environment) as run:
        code = run.wait()
        return code, run.said


def slay(pid: int) -> None:
    """SIGKILL; who is gone already is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """Processes that a process started and that still are its own."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return []


def tree(pid: int) -> list[int]:
    """All that descend from a process, the nearest first."""
    near = children(pid)
    return near + [one for child in near for one in tree(child)]


def command(pid: int) -> str:
    """A process's command line; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def alive_in(folder: Path) -> list[str]:
    """Command lines of processes that work in a run's directory."""
    mark = f"TMPDIR={folder.resolve()}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(command(int(entry.name)))
    return [one for one in found if one]


def query(path: Path, text: str) -> list[dict[str, Any]]:
    """Rows of a database that may be in use."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(text)]


def hub_database(folder: Path) -> Path:
    """The hub's database of a run."""
    return next(iter(folder.glob("volumes/*-hub/data/hub.sqlite")))


def ask_hub(folder: Path, text: str) -> list[dict[str, Any]]:
    """Rows of the hub's database."""
    return query(hub_database(folder), text)


def check_ledger(folder: Path, limit_usd: str) -> int:
    """The books of a finished campaign: never over the limit, nothing held at the end, every dollar of every experiment; the total."""
    limit = money.parse_usd(limit_usd)
    spent = held = 0
    for row in ask_hub(folder, "SELECT entry, micros FROM ledger ORDER BY id"):
        spent += row["micros"] if row["entry"] == "settle" else 0
        held += row["micros"] if row["entry"] == "reserve" else 0
        assert 0 <= spent + held <= limit, row
        assert held >= 0, row
    assert held == 0
    experiments = ask_hub(folder, "SELECT name, state, cost FROM experiments")
    assert sum(one["cost"] for one in experiments) == spent
    paid = ask_hub(folder, "SELECT experiment, SUM(micros) AS micros FROM ledger WHERE entry = 'settle' GROUP BY 1")
    assert {one["experiment"]: one["micros"] for one in paid} == {
        one["name"]: one["cost"] for one in experiments if one["cost"]
    }
    return spent


def check_scores(folder: Path) -> list[dict[str, Any]]:
    """Every experiment that ended well is scored exactly once, with seeds and a receipt that is there; the scores."""
    scores = ask_hub(
        folder,
        "SELECT s.*, e.drawn, e.purpose, e.label, e.control FROM scores s JOIN experiments e ON e.name = s.experiment",
    )
    ended = ask_hub(
        folder, "SELECT name FROM experiments WHERE state = 'scored' AND purpose NOT IN ('Baseline', 'Smoke')"
    )
    assert sorted(one["experiment"] for one in scores) == sorted(one["name"] for one in ended)
    assert sorted(one["position"] for one in scores) == list(range(len(scores)))
    for one in scores:
        assert len(yaml.safe_load(one["drawn"])) == one["n_seeds"]
        name = one["receipt"].removeprefix("sha256:")
        receipt = json.loads((hub_database(folder).parent / "blobs" / name[:2] / name).read_bytes())
        assert receipt["image"].startswith("aar_lab@sha256:"), "the code that ran"
    assert ask_hub(folder, "SELECT name FROM experiments WHERE state IN ('submitted', 'waiting', 'admitted')") == []
    return scores
