"""A hub on real loopback ports, an operator that speaks to it, and a small lab that posts what a test wants posted."""

from __future__ import annotations

import io
import json
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from aar_api.wire import Hyper, MethodCard
from aar_hub import app, records, scorer
from aar_hub import hub as hubs
from aar_hub.hub import Hub
from aar_hub.settings import Settings
from aar_hub.worker import Worker
from starlette.applications import Starlette

OPERATOR = "operator-secret"
SMALL = {"negatives": "simple", "nLabelled": 20, "nTrain": 40, "nTest": 200}
MATH = {"name": "math", "params": SMALL}
REVIEWS = {"name": "reviews", "params": {**SMALL, "nTest": 100}}
METHOD = "def train(lab):\n    return lab.predict(lab.finetune(lab.weak, **lab.config))\n"
CARDS = [
    MethodCard(name="hard-labels", summary="plain", citation="none", source=METHOD),
    MethodCard(
        name="soft-labels", summary="", citation="", space={"epochs": Hyper(kind="int", low=1, high=9, default=2)}
    ),
]
PATIENCE_SECONDS = 240
"""For a step of the worker; a bound on a hang, never a measurement."""


def spec(**changed: Any) -> dict[str, Any]:
    """A campaign; groups of fields are merged into the small default."""
    values: dict[str, Any] = {
        "task": MATH,
        "experiments": {"seeds": 2, "parallelism": 4, "maxCount": 100, "activeDeadlineSeconds": 60},
        "budget": {"limitUSD": "10.00"},
        "evaluation": {"baselineSeeds": 3, "replication": {"topK": 2, "seeds": 3}, "submissionsPerResearcher": 90},
    }
    for name, value in changed.items():
        values[name] = values[name] | value if isinstance(value, dict) and name in values else value
    return values


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def untar(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def ids(rows: bytes) -> list[str]:
    return [json.loads(line)["id"] for line in rows.splitlines()]


def numbered(rows: int, width: int) -> np.ndarray:
    """Embeddings that say which row they are of."""
    return np.repeat(np.arange(rows, dtype=np.float16)[:, None], width, axis=1)


def answers(truth: np.ndarray, accuracy: float, seed: int) -> np.ndarray:
    """P(True) that is right for so many of the rows, which ones depending on the seed."""
    rng = np.random.default_rng(seed)
    right = np.zeros(truth.size, dtype=bool)
    right[rng.permutation(truth.size)[: round(accuracy * truth.size)]] = True
    return np.where(right == truth, 0.9, 0.1)


class Running:
    """A served hub: the two applications, each on a port that the system chose, and the worker."""

    def __init__(self, folder: Path, cache: Path | None = None, **more: Any) -> None:
        where = None if cache is None else str(cache)
        settings = Settings(data_dir=folder, operator_token=OPERATOR, cache_dir=where, **more)
        self.hub: Hub = hubs.start(settings)
        self.worker = Worker(self.hub)
        self.worker.start()
        self._servers = [self._serve(app.sandbox(self.hub)), self._serve(app.control(self.hub))]
        self.sandbox, self.control = (
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                timeout=60,
                trust_env=False,
                limits=httpx.Limits(keepalive_expiry=2),
            )
            for _, _, port in self._servers
        )

    @staticmethod
    def _serve(application: Starlette) -> tuple[uvicorn.Server, threading.Thread, int]:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        return server, thread, listening.getsockname()[1]

    def stop(self) -> None:
        for client in (self.sandbox, self.control):
            client.close()
        for server, thread, _ in self._servers:
            server.should_exit = True
            thread.join(PATIENCE_SECONDS)
        self.worker.stop()
        self.hub.db.close()


class World:
    """What the operator and the labs do to a hub, and what a researcher may ask of it."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder, self.cache = folder, cache
        self.running = Running(folder, cache)
        self.specs: dict[str, dict[str, Any]] = {}
        self.cursor = 0
        self.served: dict[str, list[str]] = {}
        """Test rows that each experiment was served, once it has run."""

    @property
    def hub(self) -> Hub:
        return self.running.hub

    def stop(self) -> None:
        self.running.stop()

    def restart(self, **more: Any) -> None:
        self.running.stop()
        self.running = Running(self.folder, self.cache, **more)

    def copy(self, folder: Path) -> World:
        """Another hub that starts from this one's data."""
        shutil.copytree(self.folder, folder)
        other = World(folder, self.cache)
        other.specs, other.cursor = dict(self.specs), self.cursor
        return other

    # The operator

    def ask(self, verb: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {more.pop('token', OPERATOR)}"}
        return self.running.control.request(verb, path, json=body, headers=headers, **more)

    def must(self, verb: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.ask(verb, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def open(self, wanted: dict[str, Any], uid: str = "uid-1") -> httpx.Response:
        opening = {"name": "camp", "namespace": "default", "uid": uid, "spec": wanted}
        return self.ask("PUT", "/v1/operator/campaign", opening)

    def summary(self) -> dict[str, Any]:
        return self.must("GET", "/v1/operator/summary")

    def report(self) -> dict[str, Any]:
        return self.must("GET", "/v1/operator/report")

    def stage(self, stage: str, reason: str = "") -> httpx.Response:
        return self.ask("PUT", "/v1/operator/stage", {"stage": stage, "reason": reason})

    def events(self) -> list[dict[str, Any]]:
        """News of the feed since the last look."""
        page = self.must("GET", "/v1/operator/feed", params={"cursor": self.cursor})
        self.cursor = page["cursor"]
        self.specs |= {one["experiment"]: one["spec"] for one in page["events"] if "spec" in one}
        return page["events"]

    def requested(self) -> list[str]:
        return [one["experiment"] for one in self.events() if one["kind"] == "experiment-requested"]

    def until_requested(self, count: int) -> list[str]:
        found: list[str] = []
        self.until(lambda: len(found.extend(self.requested()) or found) >= count)
        return found

    def until(self, holds: Callable[[], Any]) -> Any:
        limit = time.monotonic() + PATIENCE_SECONDS
        while not (value := holds()):
            assert time.monotonic() < limit, "it did not come about"
            time.sleep(0.01)
        return value

    def admit(self, name: str, wanted: dict[str, Any] | None = None, attempts: int = 2) -> dict[str, Any]:
        body = {"uid": f"uid-{name}", "spec": wanted or self.specs[name], "maxAttempts": attempts}
        return self.must("PUT", f"/v1/operator/experiments/{name}/admission", body)

    def settle(self, name: str, count: int, outcome: str = "finished", seconds: float = 1.0) -> dict[str, Any]:
        indexes = [{"index": i, "succeeded": True, "seconds": seconds} for i in range(count)]
        body = {"jobName": f"{name}-1", "jobUid": f"job-{name}", "image": "lab:1", "outcome": outcome}
        return self.must("PUT", f"/v1/operator/experiments/{name}/settlement", body | {"indexes": indexes})

    def token(self, role: str, subject: str) -> str:
        return self.must("GET", f"/v1/operator/tokens/{role}/{subject}")["token"]

    # Sandboxes

    def call(self, verb: str, path: str, token: str, body: Any = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return self.running.sandbox.request(verb, path, json=body, headers=headers, **more)

    def output(self, token: str, index: int, data: bytes) -> httpx.Response:
        return self.call("POST", "/v1/lab/output", token, params={"index": index}, content=data)

    def researcher(self, name: str = "r0") -> Researcher:
        return Researcher(self, name)

    # What only the judge knows

    def truth(self, task: str = "math") -> np.ndarray:
        """Of the test rows that exploration is served, in their order."""
        stick = self.stick(task)
        return stick.truth[stick.mask("Feedback")]

    def stick(self, task: str = "math") -> scorer.Yardstick:
        with self.hub.db.read() as tx:
            row = next(row for row in records.all_tasks(tx) if row.ref.name == task)
        return scorer.yardstick(self.hub, row)

    def sealed(self, task: str = "math") -> dict[str, list[int]]:
        with self.hub.db.read() as tx:
            row = next(row for row in records.all_tasks(tx) if row.ref.name == task)
        assert row.sealed is not None
        return json.loads(self.hub.blobs.get(row.sealed))

    def test_ids(self, task: str = "math") -> list[str]:
        """Names of all test rows, in their order."""
        with self.hub.db.read() as tx:
            row = next(row for row in records.all_tasks(tx) if row.ref.name == task)
        return ids(self.hub.blobs.get(row.blobs["test"]))

    # A lab

    def bundle(self, name: str, index: int = 0) -> dict[str, bytes]:
        """What the hub serves to an index of an admitted experiment."""
        token = self.token("lab-fetch", name)
        answer = self.call("GET", "/v1/lab/bundle", token, params={"index": index})
        assert answer.is_success, answer.text
        return untar(answer.content)

    def run(self, name: str, accuracy: float = 0.7, predict: Callable[[int], Any] | None = None) -> dict[str, Any]:
        """Admit an experiment, post an output for every index and settle it."""
        answer = self.admit(name)
        assert answer["verdict"] == "admitted", answer
        for index, seed in enumerate(answer["seeds"]):
            given = self.call("GET", "/v1/lab/assignment", answer["fetchToken"], params={"index": index}).json()
            assert given["seed"] == seed
            data = self._work(name, given, accuracy) if predict is None else npz(test=predict(index))
            if given["role"] == "features":
                cards = [card.dump() for card in CARDS]
                assert self.call("POST", "/v1/lab/catalogue", answer["postToken"], cards).status_code == 204
            posted = self.output(answer["postToken"], index, data)
            assert posted.status_code == 204, posted.text
        return self.settle(name, len(answer["seeds"]))

    def _work(self, name: str, given: dict[str, Any], accuracy: float) -> bytes:
        with self.hub.db.read() as tx:
            task = records.task(tx, records.experiment(tx, name).task)
        sealed = self.sealed(task.ref.name)
        counts = {split: len(sealed[split]) for split in ("train", "test", "labelled")}
        if given["role"] == "features":
            wanted = [("strong", split) for split in ("train", "test")] + [("weak", split) for split in counts]
            shapes = {f"{m}_{s}_{f}": (counts[s], 2) for m, s in wanted for f in ("question", "choice")}
            return npz(**{key: numbered(*shape) for key, shape in shapes.items()})
        level = {"teacher": 0.6, "ceiling": 0.9}.get(given["role"], accuracy) + (given["seed"] % 5 - 2) / 100
        known = dict(zip(self.test_ids(task.ref.name), sealed["test"], strict=True))
        self.served[name] = ids(self.bundle(name, given["index"])["test.jsonl"])
        truth = np.array([known[row] for row in self.served[name]], dtype=bool)
        test = answers(truth, level, given["seed"])
        if given["role"] != "teacher":
            return npz(test=test)
        return npz(test=test, train=answers(np.array(sealed["train"], dtype=bool), level, given["seed"]))

    def prepare(self) -> list[list[str]]:
        """Run what is asked for until the task is ready; the roles, in the waves in which they were asked for."""
        waves = []
        while not self.summary()["prepared"]:
            names = self.requested()
            if names:
                waves.append([self.specs[name]["method"]["builtin"] for name in names])
                for name in names:
                    self.run(name)
            time.sleep(0.01)
        return waves

    def verify(self, accuracy: Callable[[dict[str, Any]], float | None]) -> list[dict[str, Any]]:
        """Run all that verification asks for, at the accuracy of its spec, none for a run that fails; the specs in order."""
        done = []
        while not self.summary()["verified"]:
            for name in self.requested():
                done.append(self.specs[name] | {"name": name})
                level = accuracy(done[-1])
                if level is None:
                    self.admit(name)
                    self.settle(name, done[-1]["seeds"])
                else:
                    self.run(name, level)
            time.sleep(0.01)
        return done


class Researcher:
    """One researcher with its token."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.token = world, name, world.token("researcher", name)
        self._count = 0

    def get(self, path: str) -> Any:
        answer = self.world.call("GET", path, self.token)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.world.call("POST", path, self.token, body)

    def upload(self, source: str = METHOD, **more: Any) -> str:
        answer = self.post("/v1/snapshots", {"files": {"method.py": source}} | more)
        assert answer.is_success, answer.text
        return answer.json()["digest"]

    def submit(self, **changed: Any) -> httpx.Response:
        self._count += 1
        body = {"key": f"k{self._count}", "snapshot": changed.pop("snapshot", None) or self.upload(), "seeds": 2}
        return self.post("/v1/experiments", body | {"config": {"n": self._count}} | changed)

    def explore(self, accuracy: float = 0.7, predict: Callable[[int], Any] | None = None, **changed: Any) -> Any:
        """Submit, have it run, and read the result as the researcher sees it."""
        answer = self.submit(**changed)
        assert answer.is_success, answer.text
        name = answer.json()["name"]
        self.world.events()
        self.world.run(name, accuracy, predict)
        return self.get(f"/v1/experiments/{name}")
