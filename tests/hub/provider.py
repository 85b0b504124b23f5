"""A provider that speaks the Messages API and does what the prompt says: the first message's text is a plan in JSON.

Plan: usage (figures to report), words (pieces of text), status (an error instead; said: its words), cut ("head", "start", "text", "name", "data", "line": where the line breaks; of an answer that is no stream, after so many bytes),
error (an error event after the text), hold (wait before the last event until `release` is set), raw (a body that is no message),
echo (the caller's key is told in headers and text, cut after so many characters: into two "events" or into two "pieces" of the line).
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

USAGE = {"input_tokens": 100, "output_tokens": 20}

PIECE = b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}'
LINES = {"name": PIECE[:9], "data": PIECE[:40], "line": PIECE + b"\n"}
"""What is left of an event when the line breaks within its name or its data, or before the empty line that ends it."""


class Cut(Exception):
    """The line breaks."""


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Provider:
    """The double and what it saw."""

    seen: list[Seen] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    """Whole bodies of answers that tell the caller's key."""
    release: threading.Event = field(default_factory=threading.Event)
    holding: int = 0

    def __post_init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        routes = [
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.release.set()
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    async def _note(self, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
        body = await request.body()
        self.seen.append(Seen(str(request.url).removeprefix(self.url), dict(request.headers), body))
        asked = json.loads(body)
        text = asked["messages"][0]["content"]
        return asked, json.loads(text) if isinstance(text, str) and text.startswith("{") else {}

    async def _count(self, request: Request) -> Response:
        await self._note(request)
        return JSONResponse({"input_tokens": 2095})

    async def _messages(self, request: Request) -> Response:
        asked, plan = await self._note(request)
        if "status" in plan:
            # Careless, as an error page of a company's gateway may be: it repeats the caller's key.
            said = plan.get("said", f"refused {request.headers['authorization']}")
            error = {"type": "some_error", "message": said}
            headers = {
                "retry-after": plan.get("wait", "7"),
                "request-id": "req_1",
                "x-key": request.headers["authorization"],
            }
            return JSONResponse({"type": "error", "error": error}, plan["status"], headers)
        if "echo" in plan:
            return await self._echo(asked, plan, request.headers["authorization"].removeprefix("Bearer "))
        if "raw" in plan:
            return Response(plan["raw"], media_type="application/json")
        if asked.get("stream"):
            return StreamingResponse(
                self._stream(asked, plan), media_type="text/event-stream", headers={"request-id": "req_1"}
            )
        if plan.get("hold"):
            await self._hold()
        message = _message(asked, plan) | {"stop_reason": "end_turn"}
        if "cut" in plan:
            body = json.dumps(message).encode()
            length = {"content-length": str(len(body))}
            return StreamingResponse(_part(body[: plan["cut"]]), media_type="application/json", headers=length)
        return JSONResponse(message, headers={"request-id": "req_1"})

    async def _echo(self, asked: dict[str, Any], plan: dict[str, Any], key: str) -> Response:
        how, at = plan["echo"]
        words = ["The key ", key[:at], key[at:], " is yours."] if how == "events" else [f"The key {key} is yours."]
        if asked.get("stream"):
            parts, kind = [part async for part in self._stream(asked, {"words": words})], "text/event-stream"
        else:
            parts, kind = [json.dumps(_message(asked, {"words": words})).encode()], "application/json"
        self.told.append(b"".join(parts))
        headers = {"request-id": f"for {key}", f"anthropic-ratelimit-{key}": "1", "anthropic-ratelimit-of": key}
        return StreamingResponse(_cut(parts, key.encode(), at), media_type=kind, headers=headers)

    async def _stream(self, asked: dict[str, Any], plan: dict[str, Any]) -> AsyncIterator[bytes]:
        usage, words = plan.get("usage", USAGE), plan.get("words", ["ok"])
        _break(plan, "head")
        start = _message(asked, plan) | {"content": [], "usage": usage | {"output_tokens": 1}}
        yield _event("message_start", message=start if usage else {"content": []})
        yield _event("ping")
        await asyncio.sleep(0)
        _break(plan, "start")
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for word in words:
            yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
        if plan.get("hold"):
            await self._hold()
        if plan.get("cut") in LINES:
            yield LINES[plan["cut"]]
            raise Cut
        _break(plan, "text")
        if "error" in plan:
            yield _event("error", error={"type": plan["error"], "message": "Overloaded"})
            return
        yield _event("content_block_stop", index=0)
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        yield _event("message_delta", delta=end, **{"usage": usage} if usage else {})
        yield _event("message_stop")

    async def _hold(self) -> None:
        self.holding += 1
        while not self.release.is_set():
            await asyncio.sleep(0.01)
        self.holding -= 1


def _break(plan: dict[str, Any], where: str) -> None:
    if plan.get("cut") == where:
        raise Cut


async def _cut(parts: list[bytes], key: bytes, at: int) -> AsyncIterator[bytes]:
    """The parts, with a pause within the key, so that its pieces arrive apart."""
    for part in parts:
        where = part.find(key) + at if key in part else 0
        for piece in (part[:where], part[where:]):
            if piece:
                yield piece
                await asyncio.sleep(0.003)


async def _part(body: bytes) -> AsyncIterator[bytes]:
    yield body
    raise Cut


def _message(asked: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    words = plan.get("words", ["ok"])
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [{"type": "text", "text": "".join(words)}],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": plan.get("usage", USAGE),
    }


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
