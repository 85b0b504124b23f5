"""One call from the first byte to its payment. It runs to its end whether or not the caller still listens: the provider bills it either way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import aiohttp

from aar_hub.gateway import tap
from aar_hub.gateway.errors import GatewayError, Unheard, UpstreamFault
from aar_hub.gateway.kept import Kept
from aar_hub.gateway.meter import Closing, Meter, Opening
from aar_hub.gateway.prices import Tokens
from aar_hub.gateway.standing import BILL, KEY, UNPAID
from aar_hub.gateway.tap import Tap
from aar_hub.gateway.upstream import RELAYED, Upstream, passed_back
from aar_hub.gateway.veil import Veil
from aar_hub.hub import Hub

LOG = logging.getLogger("aar_hub.gateway")
MAX_ANSWER_BYTES = 64 << 20
"""An answer of a million tokens, with room for its frames."""
LONG_BYTES = 32 << 10
"""What was said and is longer is packed in a thread; shorter, it is packed before a thread would wake."""
FIRST_AGAIN_SECONDS = 0.2
LONGEST_AGAIN_SECONDS = 30.0
"""Between two tries to pay a call: a database that is locked or full is so for moments or for hours."""
OK = 200
BAD_CALL = 400
CALLERS = (BAD_CALL, 413, 422)
"""Refusals that say nothing of the provider, but of one call."""
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
    kept: Kept
    files: Executor


class Exchange:
    """A call under way."""

    def __init__(self, parts: Parts, opening: Opening, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self._parts, self._opening = parts, opening
        self._path, self._headers, self._body = path, headers, body
        self._chunks: list[bytes] = []
        self._ended = False
        self._heard: Tap | None = None
        self._news = asyncio.Event()
        self.head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Pass on, listen, pay. What goes wrong is told to the caller; a cancel ends the listening, and a second one the paying."""
        outcome, status, runs = "fault", None, list[Tokens]()
        try:
            answer = await self._parts.upstream.send(self._path, self._headers, self._body)
            status = answer.status
            async with answer:
                outcome, runs = await self._listen(answer)
            self._stands(outcome)
        except GatewayError as error:
            if isinstance(error, Unheard) and not self._opening.asked.stream:
                runs = self._most()
            self._parts.hub.provider.fails("down", str(error))
            self._tell(error)
        except Exception:  # an own fault must not leave the caller waiting, nor the money held
            LOG.exception("a call of %s failed", self._opening.caller.subject)
            if status == OK:
                runs = self._most()
            self._tell(UpstreamFault("The hub failed at this call: its log says why; try again."))
        except asyncio.CancelledError:  # the hub stops, and more of the answer is never heard
            outcome, runs = "fault" if status is None else "broken", self._so_far()
            self._tell(UpstreamFault("The hub stops: try again."))
        try:
            await self._pay(outcome, status, runs)
        finally:
            # Only now: a caller cannot ask again on this connection before its last call is paid, so that unpaid calls never pile up.
            self._ended = True
            self._news.set()

    async def _listen(self, answer: aiohttp.ClientResponse) -> tuple[str, list[Tokens]]:
        """(outcome, runs) of an answer, passed on as it comes or, if it is no stream, once it is whole."""
        if answer.status == OK and answer.content_type == "text/event-stream":
            return await self._stream(answer)
        secrets = self._parts.hub.key.secrets()
        came, fault = await _whole(answer)
        body = secrets.hide(came) if fault is None else secrets.hide_start(came)
        status = BILL if answer.status == BAD_CALL and _unpaid(came) else answer.status
        if status not in (OK, *CALLERS):
            self._parts.hub.provider.refuses(status)
        if fault is None and status in (OK, *RELAYED):
            self._start(Head(status, passed_back(answer, secrets), len(body)), body)
        else:
            self._chunks.append(body)  # for the record alone
            self._tell(fault or _refused(status))
        if status != OK:
            return "refused", []
        billed = self._opening.kind == "messages"
        return "answered" if fault is None else "broken", tap.of_message(came, self._opening.asked) if billed else []

    def _stands(self, outcome: str) -> None:
        """Note what an answer says of the provider: counting is no success, since it is free and goes on without credit."""
        if outcome == "answered" and self._opening.kind == "messages":
            self._parts.hub.provider.answers()
        elif outcome == "broken":
            self._parts.hub.provider.fails("down", "The provider's answers break off.")

    def _most(self) -> list[Tokens]:
        """What a call is paid for that may have been worked on, unseen."""
        return [tap.most(self._opening.asked)] if self._opening.kind == "messages" else []

    def _so_far(self) -> list[Tokens]:
        """What a call is paid for whose answer is not heard to its end, though it may come to one."""
        return (self._heard.runs(self._opening.asked) if self._heard else []) or self._most()

    async def _stream(self, answer: aiohttp.ClientResponse) -> tuple[str, list[Tokens]]:
        secrets = self._parts.hub.key.secrets()
        self._heard = heard = Tap()
        veil, fault = Veil(secrets), None
        self._start(Head(OK, passed_back(answer, secrets), None))
        try:
            async for chunk in _limited(answer):
                heard.feed(chunk)
                self._say(veil.feed(chunk))
        except UpstreamFault as broken:
            fault = broken
        self._say(veil.end() if fault is None else veil.break_off())
        if fault is not None:
            self._say(b"event: error\ndata: " + fault.body() + b"\n\n")
        return "answered" if heard.finished else "broken", heard.runs(self._opening.asked)

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
        opening = self._opening
        cost = opening.rates.cost(runs)
        if cost > opening.amount:
            LOG.warning("call %s cost %s micro-dollars, more than the %s held", opening.call, cost, opening.amount)
        closing = Closing(opening.call, outcome, status, cost, sum(runs, Tokens()), await self._keep())
        wait = FIRST_AGAIN_SECONDS
        while not await self._close(closing):
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_AGAIN_SECONDS)

    async def _keep(self) -> str | None:
        """The address of the record; none if it cannot be stored, which is no reason to leave the call unpaid and its money held.

        Nor of a call that only counts: it is free, so that nothing would bound the disk that its records take.
        """
        if self._opening.kind != "messages":
            return None
        parts, who, said = self._parts, self._opening.caller.subject, b"".join(self._chunks)
        try:
            if len(self._body) + len(said) > LONG_BYTES:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(parts.files, parts.kept.keep, who, self._body, said)
            return parts.kept.keep(who, self._body, said)
        except Exception:
            LOG.exception("call %s is paid without a record, which could not be stored", self._opening.call)
            return None

    async def _close(self, closing: Closing) -> bool:
        """Whether the call is paid."""
        try:
            await self._parts.meter.close(closing, self._opening.amount)
        except Exception:
            LOG.exception("call %s is not paid yet, and what it held is still held", closing.call)
            return not await self._parts.meter.owes(closing.call)
        return True


async def _limited(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """An answer's pieces as they come.

    Raises:
        UpstreamFault: it breaks off, or is too long.
    """
    size = 0
    try:
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise UpstreamFault(f"The provider's answer exceeds {MAX_ANSWER_BYTES} bytes: the rest was not read.")
            yield chunk
    except FAULTS as error:
        raise UpstreamFault(f"The provider's answer broke off ({type(error).__name__}): try again.") from error


async def _whole(answer: aiohttp.ClientResponse) -> tuple[bytes, UpstreamFault | None]:
    """What came of an answer, and why the rest did not."""
    pieces: list[bytes] = []
    try:
        async for chunk in _limited(answer):
            pieces.append(chunk)
    except UpstreamFault as fault:
        return b"".join(pieces), fault
    return b"".join(pieces), None


def _unpaid(body: bytes) -> bool:
    """Whether a refusal is about the account: how its sentence begins, since the rest may repeat what the caller wrote."""
    try:
        return str(json.loads(body)["error"]["message"]).startswith(UNPAID)
    except (ValueError, KeyError, TypeError):
        return False


def _refused(status: int) -> UpstreamFault:
    if status == KEY:
        return UpstreamFault(
            f"The provider answered the hub with {status}: it refuses the hub's key, for which the campaign's owner or an administrator "
            "has to put another one in its place; it is read again with every call."
        )
    return UpstreamFault(
        f"The provider answered the hub with {status}, which is no fault of this call: try again, and tell the campaign's owner if it stays."
    )
