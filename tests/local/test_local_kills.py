"""Kill -9 at random moments: the campaign goes on from where it was, and at the end the books and the scores are as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from local import campaigns
from local.campaigns import Started

KILLS = 25
SEED = 20_260_101
TURNS = ("run", "lab", "hub", "agent", "operator")
"""`run` is the operator with all shims at once; of the others one program is killed, and the run has to mend it."""
CONTAINERS = {"run": (1, 4), "operator": (1, 4)}
"""Containers that start between a kill and the next: enough to get on, few enough to be hit in the middle of things."""


class Witness:
    """Looks at the cluster's and the hub's databases all the time, and remembers what was true once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.succeeded: dict[str, set[str]] = {}
        """Job and index -> pods that were seen to have succeeded."""
        self.findings: set[tuple[object, ...]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look a last time."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            with contextlib.suppress(sqlite3.OperationalError, StopIteration):  # not there yet
                self._look()

    def _look(self) -> None:
        pods = "SELECT name FROM objects WHERE kind = 'Pod' AND json_extract(body, '$.status.phase') = 'Succeeded'"
        for row in campaigns.query(self.folder / "cluster.sqlite", pods):
            index, _, _ = row["name"].rpartition("-")
            self.succeeded.setdefault(index, set()).add(row["name"])
        for row in campaigns.ask_hub(self.folder, "SELECT id, author, key, text FROM findings"):
            self.findings.add(tuple(row.values()))


def containers(folder: Path) -> int:
    """How many have started; a pod that is made again has a folder of its own."""
    return sum(1 for _ in folder.glob("pods/*/*/*.log"))


def victims(folder: Path, module: str) -> dict[str, list[int]]:
    """Pod's folder -> processes of pods that run a module."""
    found: dict[str, list[int]] = {}
    mark = re.compile(f"TMPDIR={re.escape(str(folder.resolve()))}/work/([^/]+)/".encode())
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            pod = mark.search((entry / "environ").read_bytes()) if entry.name.isdigit() else None
            words = campaigns.command(int(entry.name)) if pod is not None else ""
            if pod is not None and f"-m {module}" in words and "shim.py" not in words:
                found.setdefault(pod.group(1).decode(), []).append(int(entry.name))
    return found


def index_of(folder: Path, pod: str) -> str:
    """Job and index of a pod."""
    text = f"SELECT name FROM objects WHERE kind = 'Pod' AND json_extract(body, '$.metadata.uid') = '{pod}'"
    rows = campaigns.query(folder / "cluster.sqlite", text)
    return str(rows[0]["name"]).rpartition("-")[0] if rows else ""


class Storm:
    """Kills by turns, and starts the run again where that ended it."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.file, self.folder = file, folder
        self.rng = random.Random(SEED)
        self.hit: set[str] = set()
        """Indexes whose pod was killed: a Job tries each once more, so a second time would be a failure by right."""
        self.done: dict[str, int] = dict.fromkeys(TURNS, 0)
        self.run = Started(file, folder)

    def blow(self) -> None:
        """Every kill; then let it end."""
        for number in range(KILLS):
            turn = TURNS[number % len(TURNS)]
            self._wait(containers(self.folder) + self.rng.randint(*CONTAINERS.get(turn, (1, 2))))
            time.sleep(self.rng.uniform(0, 1.5))
            while not self._kill(turn):
                assert self.run.process.poll() is None, f"it ended after {self.done}:\n{self.run.said}"
                time.sleep(0.05)
            self.done[turn] += 1

    def _wait(self, count: int) -> None:
        while containers(self.folder) < count:
            assert self.run.process.poll() is None, f"it ended after {self.done}:\n{self.run.said}"
            time.sleep(0.05)

    def _kill(self, turn: str) -> bool:
        if turn in ("run", "operator"):
            return self._kill_run(whole=turn == "run")
        found = victims(self.folder, {"hub": "aar_hub.main", "agent": "aar_agent.main", "lab": "aar_lab."}[turn])
        if turn == "lab":
            fresh = {pod: index for pod in found if (index := index_of(self.folder, pod)) and index not in self.hit}
            found = {pod: found[pod] for pod in fresh}
            self.hit.update(list(fresh.values())[:1])
        for pid in next(iter(found.values()), []):
            campaigns.slay(pid)
        # No agent is alive before research and after it: then a hub has to do.
        return bool(found) or (turn == "agent" and self._kill("hub"))

    def _kill_run(self, *, whole: bool) -> bool:
        operator = self.run.operator()
        if operator is None:
            return False
        if whole:
            os.killpg(operator, signal.SIGKILL)
        else:
            campaigns.slay(operator)
        assert self.run.wait(60) == 3
        self.run = Started(self.file, self.folder)
        return True


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_campaign_survives_kills_at_any_moment(tmp_path: Path) -> None:
    (tmp_path / "method.py").write_text(campaigns.SIMILAR)
    method = {"configMap": {"name": "similar", "key": "method.py"}, "config": {"trust": 0.9}}
    experiments = {"parallelism": 2, "maxCount": 8, "seeds": 1, "activeDeadlineSeconds": 600}
    whole = campaigns.campaign("storm", experiments=experiments)
    file = campaigns.write(tmp_path, whole, campaigns.experiment("own", "storm", method))
    folder = tmp_path / "run"
    witness, storm = Witness(folder), Storm(file, folder)
    try:
        storm.blow()
        assert storm.run.wait(1800) == 0, storm.run.said
    finally:
        storm.run.kill()
        witness.close()
    assert sum(storm.done.values()) == KILLS
    assert campaigns.alive_in(folder) == []
    campaigns.check_ledger(folder, "1.00")
    campaigns.check_scores(folder)
    states = campaigns.ask_hub(folder, "SELECT name, state, message FROM experiments WHERE state != 'scored'")
    assert states == []
    check_runs(folder, witness)
    check_findings(folder, witness)


def check_runs(folder: Path, witness: Witness) -> None:
    """One Job an experiment, and no pod of an index after one of it had succeeded."""
    pods = [path.name for path in folder.glob("pods/*/*") if not path.name.startswith(("hub-", "researcher-"))]
    jobs = {name.rsplit("-", 2)[0] for name in pods}
    assert {job.rpartition("-")[2] for job in jobs} == {"1"}
    assert len(jobs) == campaigns.ask_hub(folder, "SELECT COUNT(*) AS n FROM experiments")[0]["n"]
    assert witness.succeeded
    for index, names in witness.succeeded.items():
        if index.rpartition("-")[0] in jobs:
            last = max(int(name.rpartition("-")[2]) for name in pods if name.rpartition("-")[0] == index)
            assert names == {f"{index}-{last}"}, index


def check_findings(folder: Path, witness: Witness) -> None:
    """What was posted once is there, once."""
    kept = campaigns.ask_hub(folder, "SELECT id, author, key, text FROM findings")
    assert witness.findings
    assert witness.findings <= {tuple(row.values()) for row in kept}
    assert len({(row["author"], row["key"]) for row in kept}) == len(kept)
    told = {row["key"].partition(":")[2] for row in kept}
    explored = (
        "SELECT e.name, e.label, e.researcher FROM experiments e JOIN scores s ON s.experiment = e.name "
        "WHERE e.purpose = 'Exploration' AND e.researcher LIKE 'r%' ORDER BY s.position"
    )
    rows = campaigns.ask_hub(folder, explored)
    last = {row["researcher"]: row["name"] for row in rows}.values()  # research ends with it, before it need be read
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row["label"], set()).add(row["name"])
    # Whoever is first to score a method tells the team; the person's own was known before anyone took it up.
    known = [label for label, names in labels.items() if label != "own" and not names <= set(last)]
    assert [label for label in known if not told & labels[label]] == []
