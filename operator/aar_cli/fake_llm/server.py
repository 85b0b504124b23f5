"""The double on a port: JSON and server-sent events over HTTP/1.1."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aar_cli.fake_llm import checks, counting, messages, play
from aar_cli.fake_llm.errors import TYPES, Wrong
from aar_cli.fake_llm.script import Fault, Script

REMEMBERED = 64
"""Requests that are kept to be looked at."""
WINDOW = 1_000_000


@dataclass(frozen=True)
class Seen:
    """A request and how it was answered."""

    path: str
    headers: dict[str, str]
    body: Any
    size: int
    status: int


class FakeLLM:
    """One script, played to whoever asks."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: deque[Seen] = deque(maxlen=REMEMBERED)
        self.calls = self.largest = 0
        """Requests, and the bytes of the largest."""
        self._shown: Counter[str] = Counter()
        self._lock = threading.Lock()

    def due(self, name: str, times: int) -> bool:
        """Whether trouble has still to be shown; counts this time."""
        with self._lock:
            self._shown[name] += 1
            return self._shown[name] <= times

    def saw(self, seen: Seen) -> None:
        """Remember a request."""
        with self._lock:
            self.seen.append(seen)
            self.calls += 1
            self.largest = max(self.largest, seen.size)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: FakeLLM

    def log_message(self, *_: object) -> None:
        """Say nothing: the caller knows what it asked."""

    def do_GET(self) -> None:
        prefix, _, name = self.path.partition("/v1/models/")
        self._guard(lambda: self._model(name) if not prefix and name else self._unknown())

    def do_POST(self) -> None:
        self._body = self.rfile.read(int(self.headers.get("content-length") or 0))
        act = {"/v1/messages": self._message, "/v1/messages/count_tokens": self._count}
        self._guard(act.get(self.path.partition("?")[0], self._unknown))

    def _guard(self, act: Any) -> None:
        self._read: Any = None
        self._given = {name.lower(): value for name, value in self.headers.items()}
        try:
            checks.headers(self._given)
            act()
        except Wrong as wrong:
            self._json(wrong.status, wrong.body())
        except ConnectionError:
            self.close_connection = True

    def _unknown(self) -> None:
        raise Wrong(404, f"{self.command} {self.path} is not served")

    def _model(self, name: str) -> None:
        about = {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
        self._json(200, about | {"max_input_tokens": WINDOW, "max_tokens": 128_000})

    def _parse(self, *, counting_only: bool) -> dict[str, Any]:
        try:
            self._read = json.loads(self._body)
        except ValueError:
            raise Wrong(400, "The body is no JSON") from None
        betas = set(self._given.get("anthropic-beta", "").replace(" ", "").split(","))
        checks.request(self._read, betas, counting=counting_only)
        body: dict[str, Any] = self._read
        return body

    def _count(self) -> None:
        self._json(200, {"input_tokens": counting.prompt(self._parse(counting_only=True))})

    def _message(self) -> None:
        body = self._parse(counting_only=False)
        script = self.fake.script
        here = play.place(script, body)
        conversation = hashlib.sha256(json.dumps(body.get("system")).encode()).hexdigest()
        if body.get("compaction") is not None:
            fails = self.fake.due(f"{conversation}:compaction", script.failing_compactions)
            self._send(body, messages.compaction(script, here, body, fails=fails))
            return
        fault = play.turn_at(script, here).fault
        if fault is not None and self.fake.due(f"{conversation}:{here.turn}", fault.times):
            self._fault(fault, body, here)
            return
        self._send(body, messages.answer(script, here, body))

    def _fault(self, fault: Fault, body: dict[str, Any], here: play.Place) -> None:
        if fault.kind == "status":
            more = {} if fault.retry_after_ms is None else {"retry-after-ms": str(fault.retry_after_ms)}
            self._json(fault.status, Wrong(fault.status, "Trouble from the script.").body(), more)
        elif fault.kind == "refusal":
            self._send(body, messages.refusal(body, fault.category))
        elif fault.kind == "empty":
            self._send(body, messages.empty(body))
        elif not body.get("stream"):
            raise Wrong(500, "Trouble from the script.")
        else:
            self._send(body, messages.answer(self.fake.script, here, body), fault)

    def _send(self, body: dict[str, Any], message: messages.Message, fault: Fault | None = None) -> None:
        if not body.get("stream"):
            self._json(200, message)
            return
        self._head(200, "text/event-stream; charset=utf-8", {"transfer-encoding": "chunked"})
        for number, event in enumerate(messages.events(message)):
            if fault is not None and number >= fault.after:
                if fault.kind == "cut":
                    self.close_connection = True
                    return
                if fault.kind == "error":
                    error = {"type": TYPES.get(fault.status, "api_error"), "message": "Trouble from the script."}
                    self._chunk({"type": "error", "error": error})
                break
            self._chunk(event)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: dict[str, Any]) -> None:
        data = f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _json(self, status: int, value: Any, more: dict[str, str] | None = None) -> None:
        data = json.dumps(value, ensure_ascii=False).encode()
        self._head(status, "application/json", {"content-length": str(len(data)), **(more or {})})
        self.wfile.write(data)

    def _head(self, status: int, kind: str, more: dict[str, str]) -> None:
        # Before a byte is sent: who has the answer may ask at once what was seen.
        self.fake.saw(Seen(self.path, self._given, self._read, len(getattr(self, "_body", b"")), status))
        self.send_response(status)
        for name, value in {"content-type": kind, "request-id": "req_fake", **more}.items():
            self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


LOOPBACK = "127.0.0.1"


def bind(fake: FakeLLM, port: int, host: str = LOOPBACK) -> ThreadingHTTPServer:
    """A server that is not yet running; port 0 takes a free one."""
    return _Server((host, port), type("Handler", (_Handler,), {"fake": fake}))


def url(server: ThreadingHTTPServer) -> str:
    """Its address."""
    return f"http://{server.server_address[0]}:{server.server_port}"  # type: ignore[str-bytes-safe]


@contextlib.contextmanager
def serving(fake: FakeLLM, port: int = 0, host: str = LOOPBACK) -> Iterator[str]:
    """The double's address, for as long as it is needed."""
    with bind(fake, port, host) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield url(server)
        finally:
            server.shutdown()
            thread.join()
