"""One call from the first byte to its payment. It runs to its end whether or not the caller still listens: the provider bills it either way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import aiohttp

from aar_hub.gateway import record, tap
from aar_hub.gateway.errors import GatewayError, UpstreamFault
from aar_hub.gateway.meter import Closing, Meter, Opening
from aar_hub.gateway.prices import Tokens
from aar_hub.gateway.tap import Tap
from aar_hub.gateway.upstream import RELAYED, Upstream, passed_back
from aar_hub.gateway.veil import Veil
from aar_hub.hub import Hub

LOG = logging.getLogger("aar_hub.gateway")
MAX_ANSWER_BYTES = 64 << 20
"""An answer of a million tokens, with room for its frames."""
FAULTS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True)
class Head:
    """The beginning of an answer to the caller; the length only if the answer is whole."""

    status: int
    headers: Mapping[str, str]
    length: int | None


@dataclass(frozen=True)
class Parts:
    """What an exchange works with."""

    hub: Hub
    meter: Meter
    upstream: Upstream
    files: Executor


class Exchange:
    """A call under way."""

    def __init__(self, parts: Parts, opening: Opening, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self._parts, self._opening = parts, opening
        self._path, self._headers, self._body = path, headers, body
        self._chunks: list[bytes] = []
        self._ended = False
        self._news = asyncio.Event()
        self.head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Pass on, listen, pay. Never raises: what goes wrong is told to the caller."""
        outcome, status, runs = "fault", None, list[Tokens]()
        try:
            answer = await self._parts.upstream.send(self._path, self._headers, self._body)
            status = answer.status
            async with answer:
                outcome, runs = await self._listen(answer)
        except GatewayError as error:
            self._tell(error)
        except FAULTS as error:
            self._tell(_fault(error))
        except Exception:  # an own fault must not leave the caller waiting, nor the money held
            LOG.exception("a call of %s failed", self._opening.caller.subject)
            self._tell(UpstreamFault("The hub failed at this call: its log says why; try again."))
        try:
            await self._pay(outcome, status, runs)
        finally:
            # Only now: a caller cannot ask again on this connection before its last call is paid, so that unpaid calls never pile up.
            self._ended = True
            self._news.set()

    async def _listen(self, answer: aiohttp.ClientResponse) -> tuple[str, list[Tokens]]:
        """(outcome, runs) of an answer, passed on as it comes or, if it is no stream, once it is whole."""
        if answer.status == 200 and answer.content_type == "text/event-stream":
            return await self._stream(answer)
        secrets = self._parts.hub.key.secrets()
        body = secrets.hide(await _whole(answer))
        head = Head(answer.status, passed_back(answer, secrets), len(body))
        if answer.status == 200:
            self._start(head, body)
            return "answered", self._paid_runs(body)
        if answer.status in RELAYED:
            self._start(head, body)
        else:
            self._chunks.append(body)  # for the record alone
            self._tell(_refused(answer.status))
        return "refused", []

    def _paid_runs(self, body: bytes) -> list[Tokens]:
        if self._opening.kind != "messages":
            return []
        found = tap.of_message(body)
        # Answered without figures: what it cost is unknown, so it is what it could have cost.
        asked = self._opening.asked
        return found or [Tokens(cache_write_1h=asked.prompt, output=asked.output)]

    async def _stream(self, answer: aiohttp.ClientResponse) -> tuple[str, list[Tokens]]:
        secrets = self._parts.hub.key.secrets()
        heard, veil, fault = Tap(), Veil(secrets), None
        self._start(Head(200, passed_back(answer, secrets), None))
        try:
            async for chunk in _limited(answer):
                heard.feed(chunk)
                self._say(veil.feed(chunk))
        except (*FAULTS, UpstreamFault) as error:
            fault = error if isinstance(error, UpstreamFault) else _fault(error)
        self._say(veil.end())
        if fault is not None:
            # An empty line ends the event that broke off, if one did: else this would be a part of it.
            self._say(b"\n\nevent: error\ndata: " + fault.body() + b"\n\n")
        return "answered" if heard.finished else "broken", heard.runs(self._opening.asked.output)

    def _start(self, head: Head, body: bytes = b"") -> None:
        if body:
            self._chunks.append(body)
        self.head.set_result(head)

    def _say(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self._news.set()

    def _tell(self, error: GatewayError) -> None:
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # read here, too: a caller that is gone never does

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer's bytes as they come. However slowly they are taken, the provider is never kept waiting."""
        taken = 0
        while True:
            self._news.clear()
            fresh = self._chunks[taken:]
            taken += len(fresh)
            if fresh:
                yield b"".join(fresh)
            elif self._ended:
                return
            else:
                await self._news.wait()

    async def _pay(self, outcome: str, status: int | None, runs: list[Tokens]) -> None:
        opening, parts = self._opening, self._parts
        cost = opening.rates.cost(runs)
        if cost > opening.amount:
            LOG.warning("call %s cost %s micro-dollars, more than the %s held", opening.call, cost, opening.amount)
        said = b"".join(self._chunks)
        address = await asyncio.get_running_loop().run_in_executor(
            parts.files, record.keep, parts.hub, self._body, said
        )
        total = sum(runs, Tokens())
        await parts.meter.close(Closing(opening.call, outcome, status, cost, total, address), opening.amount)


async def _limited(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamFault(f"The provider's answer exceeds {MAX_ANSWER_BYTES} bytes: the rest was not read.")
        yield chunk


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    return b"".join([chunk async for chunk in _limited(answer)])


def _fault(error: Exception) -> UpstreamFault:
    return UpstreamFault(f"The provider's answer broke off ({type(error).__name__}): try again.")


def _refused(status: int) -> UpstreamFault:
    return UpstreamFault(
        f"The provider answered the hub with {status}, which is no fault of this call: try again, and tell the campaign's owner if it stays."
    )
