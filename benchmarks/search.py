"""Search against random search at equal runs on a real task: `python benchmarks/search.py [--task chat] [--runs 20,40] [--repeats 8]`.

Each repeat is a campaign of two researchers through the hub's own services: real snapshots, hub-drawn seeds, real training, the ladder,
and verification of the top three on fresh seeds and the private half. Search and random of a repeat share the hub's key, so the halves,
the weak labels, and the seeds of a configuration that both ask for are the same. Only the operator is left out: here a loop admits, trains
in this process and settles, so that a campaign takes a minute.

Printed per kind and number of runs, as mean ± standard error over repeats:

- confirmed: PGR of the selected configuration on fresh seeds and the private half;
- single best: what the best single run had reported before, minus what its own replication gave: the winner's curse;
- selected: the mean over repeats on which the hub selects, minus the same.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import socket
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import uvicorn
from aar_agent.desk import Desk
from aar_agent.hub import Hub as AgentHub
from aar_agent.researchers import random as random_researcher
from aar_agent.researchers import search as search_researcher
from aar_api import files
from aar_api.campaign import CampaignSpec
from aar_api.wire import AdmissionRequest, CampaignOpening, IndexOutcome, Settlement, StageChange
from aar_hub import admission, app, auth, lab_files, opening, progress, records, settlement, verification
from aar_hub import hub as hub_module
from aar_hub.domain import selection
from aar_hub.settings import Settings
from aar_hub.worker import Worker
from aar_lab import catalogue, outputs, train
from aar_lab.settings import Settings as LabSettings

KINDS = {"search": search_researcher, "random": random_researcher}
TOP, SEEDS = 3, 5


def spec(task: str, kind: str, runs: int) -> CampaignSpec:
    """A campaign of two researchers with `runs` experiments."""
    return CampaignSpec.model_validate(
        {
            "task": {"name": task},
            "researchers": {"kind": kind, "count": 2},
            "experiments": {"parallelism": 2, "maxCount": runs, "seeds": 2, "activeDeadlineSeconds": 120},
            "budget": {"limitUSD": "50"},
            "evaluation": {"baselineSeeds": 5, "controls": False, "replication": {"topK": TOP, "seeds": SEEDS}},
        }
    )


@contextmanager
def served(hub: hub_module.Hub) -> Iterator[str]:
    """The sandbox port on loopback; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app.sandbox(hub), log_level="error", lifespan="off"))
    server.capture_signals = lambda: _nothing()  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class Operator:
    """Carries the hub's feed out in this process, one experiment at a time."""

    def __init__(self, hub: hub_module.Hub, folder: Path) -> None:
        self._hub, self._folder, self._cursor = hub, folder, 0
        self._waiting: list[tuple[str, AdmissionRequest]] = []

    def step(self) -> bool:
        """Whether anything was done."""
        page = progress.feed(self._hub, self._cursor)
        self._cursor = page.cursor
        for event in page.events:
            if event.kind == "experiment-requested" and event.experiment and event.spec:
                self._waiting.append((event.experiment, AdmissionRequest(uid=event.experiment, spec=event.spec)))
        if not self._waiting:
            return False
        name, asked = self._waiting.pop(0)
        answer = admission.admit(self._hub, name, asked)
        if answer.verdict == "wait":
            self._waiting.append((name, asked))
        elif answer.verdict == "admitted":
            self._run(name, len(answer.seeds), labelled=answer.baseline)
        return True

    def _run(self, name: str, seeds: int, *, labelled: bool) -> None:
        outcomes = []
        for index in range(seeds):
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(dir=self._folder) as place:
                data = self._train(Path(place), name, index, labelled)
            if labelled:
                lab_files.take_catalogue(self._hub, name, catalogue.cards(source=True))
            lab_files.take_output(self._hub, name, index, data)
            outcomes.append(IndexOutcome(index=index, succeeded=True, seconds=time.monotonic() - begun))
        settled = Settlement(job_name=name, job_uid=name, image="", outcome="finished", indexes=tuple(outcomes))
        settlement.settle(self._hub, name, settled)

    def _train(self, place: Path, name: str, index: int, labelled: bool) -> bytes:
        known = LabSettings(place / "in", place / "out", place / "work", threads=1)
        archive = lab_files.bundle(self._hub, name, index, labelled=labelled)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(known.bundle_dir, filter="data")
        assignment = lab_files.assignment(self._hub, name, index)
        if assignment.snapshot:
            known.method_file.parent.mkdir(parents=True)
            code = lab_files.snapshot(self._hub, name).files[files.METHOD_FILE]
            known.method_file.write_text(code)
        known.scratch_dir.mkdir(parents=True)
        known.assignment_file.write_text(assignment.model_dump_json(by_alias=True))
        return outputs.write(train.run(known))


def campaign(task: str, kind: str, runs: int, repeat: int, cache: Path) -> dict[str, float]:
    """One campaign; its figures."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "hub").mkdir()
        (folder / "hub" / "hub.key").write_bytes(hashlib.sha256(f"benchmark {repeat}".encode()).digest())
        settings = Settings(folder / "hub", "operator", cache_dir=str(cache / str(repeat)), sandbox_port=0)
        hub = hub_module.start(settings)
        worker = Worker(hub)
        worker.start()
        try:
            opening.open_campaign(
                hub, CampaignOpening(name="bench", namespace="default", uid="bench", spec=spec(task, kind, runs))
            )
            operator = Operator(hub, folder)
            _until(hub, operator, lambda s: s.prepared)
            progress.move(hub, StageChange(stage="researching"))
            with served(hub) as url:
                team = [threading.Thread(target=_research, args=(hub, url, kind, n, folder)) for n in (0, 1)]
                for one in team:
                    one.start()
                while any(one.is_alive() for one in team):
                    if not operator.step():
                        time.sleep(0.02)
            progress.move(hub, StageChange(stage="verifying"))
            _until(hub, operator, lambda s: s.verified)
            return _figures(hub)
        finally:
            worker.stop()
            hub.db.close()


def _until(hub: hub_module.Hub, operator: Operator, ready) -> None:  # type: ignore[no-untyped-def]
    while not ready(summary := progress.summary(hub)):
        if summary.failed:
            raise SystemExit(summary.failed)
        if not operator.step():
            hub.wake.set()
            time.sleep(0.05)


def _research(hub: hub_module.Hub, url: str, kind: str, number: int, folder: Path) -> None:
    stop, work = threading.Event(), folder / f"r{number}"
    work.mkdir()
    line = AgentHub(url, auth.issue(hub, "bench", "researcher", f"r{number}"), stop)
    KINDS[kind].run(Desk(line, work, stop, logging.getLogger("bench")), line.brief())
    line.close()


def _figures(hub: hub_module.Hub) -> dict[str, float]:
    with hub.db.read() as tx:
        chosen = records.campaign(tx).verification["selected"]
        found = verification.candidates(tx, hub)
        means = {one.experiment: mean for one, mean in selection.distinct(found)}
        again = {name: progress.verified_run(tx, name) for name in chosen}
        vanilla = records.score(tx, records.campaign(tx).verification["vanilla"])
        single = max(found, key=lambda one: one.pgr)
        rerun = next((again[name] for name in chosen if _same(found, name, single)), None)
    first = again[chosen[0]]
    assert first is not None
    return {
        "confirmed": first["pgr"],
        "vanilla": vanilla["pgr"],
        "selected": means[chosen[0]] - first["pgr"],
        "single": single.pgr - rerun["pgr"] if rerun is not None else float("nan"),
        "runs": float(len(found)),
    }


def _same(found: list[selection.Candidate], name: str, single: selection.Candidate) -> bool:
    return next(one for one in found if one.experiment == name).configuration == single.configuration


def cell(values: list[float]) -> str:
    """Mean ± standard error, without what is not known."""
    known = np.array([value for value in values if not np.isnan(value)])
    return f"{known.mean():+.3f} ± {known.std(ddof=1) / len(known) ** 0.5:.3f}" if len(known) > 1 else "-"


def main() -> None:
    """Print a table in Markdown; a line a campaign meanwhile, on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="chat")
    parser.add_argument("--runs", default="20,40")
    parser.add_argument("--repeats", type=int, default=8)
    given = parser.parse_args()
    results: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for repeat in range(given.repeats):
            for runs in map(int, given.runs.split(",")):
                for kind in KINDS:
                    begun = time.monotonic()
                    one = campaign(given.task, kind, runs, repeat, Path(cache))
                    results.setdefault((kind, runs), []).append(one)
                    shown = SimpleNamespace(**one)
                    print(
                        f"{kind:6} {runs:3} runs, repeat {repeat}: confirmed {shown.confirmed:+.3f}, vanilla {shown.vanilla:+.3f}, "
                        f"{time.monotonic() - begun:.0f} s", flush=True, file=sys.stderr,
                    )  # fmt: skip
    print(
        "| researcher | runs | confirmed PGR | vanilla | reported - confirmed, single best | the same, selected mean |"
    )
    print("|---|---|---|---|---|---|")
    for (kind, runs), found in sorted(results.items(), key=lambda pair: pair[0][1]):
        cells = [cell([one[key] for one in found]) for key in ("confirmed", "vanilla", "single", "selected")]
        print(f"| {kind} | {runs} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
