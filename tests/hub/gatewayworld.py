"""A hub as a process of its own, with a campaign, before a provider."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anthropic
import httpx
from aar_api import labels

KEY = "sk-Provider-0123456789-secret"
MODEL = "claude-opus-5-5"
OPERATOR = "operator-secret"
PATIENCE_SECONDS = 60
"""For a bound on a hang, never a measurement."""


def spec(**budget: str) -> dict[str, Any]:
    params = {"negatives": "simple", "nLabelled": 20, "nTrain": 40, "nTest": 200}
    return {
        "task": {"name": "math", "params": params},
        "researchers": {"kind": "claude", "model": MODEL},
        "budget": {"limitUSD": "1000.00", **budget},
        "evaluation": {"replication": {"topK": 0}},
    }


def compact(body: Any) -> bytes:
    """JSON as the SDK writes it: every byte counts in what is held."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


PORTS = re.compile(rb"serving sandboxes on port (\d+), the operator on port (\d+)")


def begin(environment: Mapping[str, str], log: Path) -> tuple[subprocess.Popen[bytes], tuple[int, int]]:
    """A hub's process and its two ports, which it says: one that was found free may be another's when the hub listens."""
    ports = {labels.ENV_HUB_SANDBOX_PORT: "0", labels.ENV_HUB_OPERATOR_PORT: "0"}
    with log.open("ab") as stderr:
        start = stderr.tell()
        process = subprocess.Popen([sys.executable, "-m", "aar_hub.main"], env={**environment, **ports}, stderr=stderr)

    def told() -> re.Match[bytes] | None:
        written = log.read_bytes()[start:]
        assert process.poll() is None, written.decode()
        return PORTS.search(written)

    sandbox, operator = until(told).groups()
    return process, (int(sandbox), int(operator))


def until(holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := holds()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return found


class Hub:
    """The process, and what people ask of it."""

    def __init__(self, folder: Path, provider: str, **more: str) -> None:
        self.folder, self.log = folder, folder / "hub.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.key_file = folder / "key"
        self.key_file.write_text(KEY + "\n")
        self._environment = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "AAR_HUB_DATA_DIR": str(folder / "data"),
            "AAR_HUB_OPERATOR_TOKEN": OPERATOR,
            "AAR_HUB_PROVIDER_URL": provider,
            "AAR_HUB_PROVIDER_KEY_FILE": str(self.key_file),
            "AAR_HUB_LLM_CONCURRENCY": "64",
            **more,
        }
        self.start()

    def start(self) -> None:
        self.process, (sandbox, operator) = begin(self._environment, self.log)
        self.sandbox = f"http://127.0.0.1:{sandbox}"
        self.control = httpx.Client(
            base_url=f"http://127.0.0.1:{operator}",
            trust_env=False,
            timeout=PATIENCE_SECONDS,
            limits=httpx.Limits(keepalive_expiry=2),  # before the server closes it
        )
        until(self._up)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return (
                self.control.get("/healthz").is_success
                and httpx.get(f"{self.sandbox}/healthz", trust_env=False).is_success
            )
        except httpx.TransportError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(PATIENCE_SECONDS)
        self.control.close()

    def ask(self, verb: str, path: str, body: Any = None, token: str = OPERATOR) -> httpx.Response:
        return self.control.request(verb, path, json=body, headers={"Authorization": f"Bearer {token}"})

    def open(self, wanted: dict[str, Any]) -> httpx.Response:
        return self.ask(
            "PUT", "/v1/operator/campaign", {"name": "camp", "namespace": "default", "uid": "uid-1", "spec": wanted}
        )

    def token(self, role: str = "researcher", subject: str = "r0") -> str:
        return str(self.ask("GET", f"/v1/operator/tokens/{role}/{subject}").json()["token"])

    def client(self, token: str | None = None, **more: Any) -> anthropic.Anthropic:
        more = {"max_retries": 0, "auth_token": token or self.token()} | more
        return anthropic.Anthropic(base_url=self.sandbox, **more)

    def post(self, body: Any, path: str = "/v1/messages", token: str | None = None, **more: Any) -> httpx.Response:
        """A call without the SDK, byte for byte."""
        headers = {"authorization": f"Bearer {token or self.token()}", "anthropic-version": "2026-10-21"} | more.pop(
            "headers", {}
        )
        data = body if isinstance(body, bytes) else compact(body)
        return httpx.post(
            self.sandbox + path, content=data, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS, **more
        )

    def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self.ask("GET", f"/v1/operator/llm/calls?since={found[-1]['number'] if found else 0}").json():
            found += page
        return found

    def settled(self, count: int) -> list[dict[str, Any]]:
        """All calls, once there are so many and none is under way: payment follows the answer by a few milliseconds."""
        return until(
            lambda: (c := self.calls()) and len(c) >= count and all(one["outcome"] != "open" for one in c) and c
        )

    def spend(self) -> dict[str, str]:
        return dict(self.ask("GET", "/v1/operator/summary").json()["spend"])

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.folder / "data" / "hub.sqlite") as database:
            return database.execute(query).fetchall()


def ask(plan: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A request whose answer is planned."""
    text = json.dumps(plan or {})
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": text}]} | more
