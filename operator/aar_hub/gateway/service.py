"""The gateway as one ASGI application: who calls, what for, may it, and then the exchange."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from aar_hub import auth
from aar_hub.auth import Caller
from aar_hub.errors import Unauthorized
from aar_hub.gateway import meter, params, prices
from aar_hub.gateway.errors import (
    BadCall,
    Busy,
    GatewayError,
    NoKey,
    NoSuchPath,
    NotAllowed,
    NoToken,
    TooBig,
)
from aar_hub.gateway.exchange import Exchange, Head, Parts
from aar_hub.gateway.kept import Kept
from aar_hub.gateway.meter import Meter, Opening
from aar_hub.gateway.upstream import Upstream
from aar_hub.hub import Hub

MESSAGES = "/v1/messages"
KINDS = {MESSAGES: "messages", f"{MESSAGES}/count_tokens": "count_tokens"}
QUERIES = (b"", b"beta=true")
MAX_BODY_BYTES = 32 << 20
"""The provider's own limit."""
LONG_BYTES = 256 << 10
"""Bodies above this are read in a thread: they would hold up the loop for milliseconds."""
KNOWN_TOKENS = 1024
"""Tokens whose signature need not be checked again: a token holds no time, and whether it still holds is asked with every call."""
END_SECONDS = 1.0
"""For calls under way when the hub stops. Those that are listened to had five seconds already, and a process of one machine has eight in all."""
PAY_SECONDS = 1.0
"""For the payment of those that are cut off then."""
LOG = logging.getLogger("aar_hub.gateway")


class Gateway:
    """Everything between a researcher and the provider."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._parts = Parts(
            hub, Meter(hub), Upstream(hub.settings, hub.key), Kept(hub.blobs), ThreadPoolExecutor(2, "records")
        )
        self._known: dict[str, tuple[Caller, str]] = {}
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        try:
            exchange = await self._begin(scope, receive)
            head = await exchange.head
            await _relay(send, head, exchange.chunks())
        except GatewayError as error:
            if isinstance(error, NoKey):
                self._hub.provider.fails("key", str(error))
            self._hub.llm_refusals[error.status] += 1
            body = error.body()
            headers = {"content-type": "application/json", **error.headers}
            await _relay(send, Head(error.status, headers, len(body)), _one(body))

    async def _begin(self, scope: Scope, receive: Receive) -> Exchange:
        kind = KINDS.get(scope["path"])
        if kind is None or scope["method"] != "POST" or scope["query_string"] not in QUERIES:
            raise NoSuchPath(
                f"{scope['method']} {scope['path']} is not passed on: use POST with {' or '.join(KINDS)} and no query but beta=true."
            )
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller, campaign_uid = self._caller(headers)
        self._take_place(caller.subject)
        try:
            body = await _body(receive)
            asked = await _read(body, counting=kind != "messages")
            self._hub.key.read()
            opening = Opening(secrets.token_hex(12), caller, campaign_uid, kind, asked, _rates(asked.model))
            await self._parts.meter.open(opening)
        except BaseException:
            self._running[caller.subject] -= 1
            raise
        return self._pass_on(opening, _path(scope), headers, body)

    def _caller(self, headers: Mapping[str, str]) -> tuple[Caller, str]:
        header = headers.get("authorization") or f"Bearer {headers.get('x-api-key', '')}"
        if known := self._known.get(header):
            return known
        try:
            caller, campaign_uid = auth.signed(self._hub, header)
        except Unauthorized as error:
            raise NoToken(str(error)) from error
        if caller.role != "researcher":
            raise NotAllowed(f"The role {caller.role!r} may not call an LLM: only researchers may.")
        if len(self._known) < KNOWN_TOKENS:
            self._known[header] = caller, campaign_uid
        return caller, campaign_uid

    def _take_place(self, who: str) -> None:
        """Take a place among a caller's calls, before its body costs memory and time; it is free again at the call's end.

        Raises:
            Busy: there is none.
        """
        most = self._hub.settings.llm_concurrency
        if self._running[who] >= most:
            raise Busy(f"{who} has {most} calls under way, and no more are passed on: wait for one.", 1)
        self._running[who] += 1

    def _pass_on(self, opening: Opening, path: str, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Start a call whose money is held."""
        who = opening.caller.subject
        exchange = Exchange(self._parts, opening, path, headers, body)
        task = asyncio.create_task(exchange.run())
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(who, ended))
        return exchange

    def _ended(self, who: str, task: asyncio.Task[None]) -> None:
        self._running[who] -= 1
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("a call of %s ended with a fault of the hub's own", who, exc_info=error)

    async def close(self) -> None:
        """Let calls under way end, for a moment; then they are paid by what was heard, or else at what they hold."""
        for seconds in (END_SECONDS, PAY_SECONDS):
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=seconds)
                for task in late:
                    task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._parts.upstream.close()
        self._parts.meter.stop()
        self._parts.files.shutdown()
        await asyncio.to_thread(meter.settle_lost, self._hub)


def _path(scope: Scope) -> str:
    query = scope["query_string"].decode()
    return f"{scope['path']}?{query}" if query else str(scope["path"])


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadCall("The connection closed before the body was whole: send it again.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise TooBig(f"The body exceeds {MAX_BODY_BYTES} bytes: send less.")
        if not message.get("more_body", False):
            return b"".join(parts)


async def _read(body: bytes, *, counting: bool) -> params.Asked:
    if len(body) > LONG_BYTES:
        return await asyncio.to_thread(params.read, body, counting=counting)
    return params.read(body, counting=counting)


def _rates(model: str) -> prices.Rates:
    try:
        return prices.rates(model, datetime.now(UTC))
    except prices.UnknownModel as error:
        raise NotAllowed(str(error)) from error


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _relay(send: Send, head: Head, chunks: AsyncIterator[bytes]) -> None:
    """Send an answer; a caller that is gone ends the sending and nothing else."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in head.headers.items()]
    if head.length is not None:
        headers.append((b"content-length", str(head.length).encode()))
    with contextlib.suppress(OSError):
        await send({"type": "http.response.start", "status": head.status, "headers": headers})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
