"""What an answer on the hub's port means: the hub's own refusal, or that the hub is not there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aar_operator.hubs import Hub, HubDown, HubRefused, HubUnclear

REFUSAL = b'{"reason": "InvalidTask", "message": "No such task."}'


@pytest.fixture
def answer() -> Iterator[tuple[ThreadingHTTPServer, dict[str, object]]]:
    """A server that answers everything in one way, and that way."""
    way: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(str(way["status"])))
            self.end_headers()
            body = way["body"]
            assert isinstance(body, bytes)
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server, way
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        (422, REFUSAL, HubRefused),
        (404, b"<h1>not found</h1>", HubDown),
        (403, b"", HubDown),
        (503, REFUSAL, HubDown),
        (200, b'{"opened": true, "stage": "dreaming"}', HubUnclear),
    ],
    ids=[
        "the hub refuses",
        "a proxy knows no hub",
        "a wall without a word",
        "the hub is broken",
        "a hub of another version",
    ],
)
def test_answer(answer: tuple[ThreadingHTTPServer, dict[str, object]], status: int, body: bytes, raised: type) -> None:
    server, way = answer
    way |= {"status": status, "body": body}

    async def ask() -> None:
        hub = Hub(f"http://127.0.0.1:{server.server_port}", "token")
        try:
            await hub.summary()
        finally:
            await hub.close()

    with pytest.raises(raised):
        asyncio.run(ask())
