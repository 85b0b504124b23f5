"""Calls in the database: money held before a call, paid after it. Steps of many calls share one transaction, and so one sync of the disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sqlalchemy as sa
from aar_api import money

from aar_hub import purse, records
from aar_hub.auth import Caller
from aar_hub.gateway.errors import Busy, GatewayError, NotAllowed, NoToken, PurseUsed
from aar_hub.gateway.params import Asked
from aar_hub.gateway.prices import Rates, Tokens
from aar_hub.hub import Hub
from aar_hub.records import Campaign
from aar_hub.store import tables
from aar_hub.store.database import WriterBusy
from aar_hub.store.prepared import Prepared

RETRY_SECONDS = 5
"""About the length of a short call: then what it held is free."""
SUSPENDED_SECONDS = 60
SYNC_SECONDS = 0.002
"""From a page to the sync of the disk: pages of one moment share it."""
LOST = "lost"
"""Outcome of a call whose end this hub never saw; it is paid as if it had cost all it could."""
T = TypeVar("T")


@dataclass(frozen=True)
class Opening:
    """A call that wants to be passed on."""

    call: str
    caller: Caller
    campaign_uid: str
    kind: str
    asked: Asked
    rates: Rates

    @property
    def amount(self) -> int:
        """The most it can cost; counting tokens is free."""
        return self.rates.dearest(self.asked.prompt, self.asked.output) if self.kind == "messages" else 0


@dataclass(frozen=True)
class Closing:
    """A call that has ended."""

    call: str
    outcome: str
    status: int | None
    cost: int
    tokens: Tokens
    record: str | None


@dataclass
class Page:
    """One transaction's view of the purse, and the rows that its steps add."""

    campaign: Campaign | None
    limit: int = 0
    llm_limit: int = 0
    spent: int = 0
    reserved: int = 0
    verification: int = 0
    llm_spent: int = 0
    llm_reserved: int = 0
    opened: list[dict[str, Any]] = field(default_factory=list)
    closed: list[dict[str, Any]] = field(default_factory=list)
    paid: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, tx: sa.Connection) -> Page:
        """The purse as this transaction finds it."""
        campaign = records.find_campaign(tx)
        if campaign is None:
            return cls(None)
        balance = purse.balance(tx, campaign)
        of_llm = campaign.spec.budget.llm_limit_usd
        limit = balance.limit if of_llm is None else money.parse_usd(of_llm)
        return cls(
            campaign,
            balance.limit,
            limit,
            balance.spent,
            balance.reserved,
            balance.verification,
            balance.llm_spent,
            balance.llm_reserved,
        )

    def next(self) -> Page:
        """The page after this one."""
        return replace(self, opened=[], closed=[], paid=[])

    def open(self, opening: Opening) -> None:
        """Hold the most that a call can cost.

        Raises:
            GatewayError: the token has ended, the model is not the campaign's, or the money is not there.
        """
        campaign = self.campaign
        if campaign is None or campaign.uid != opening.campaign_uid:
            raise NoToken("The token belongs to another campaign: use the one of this campaign.")
        if campaign.stage not in ("preparing", "researching"):
            raise NoToken(f"Research has ended (stage {campaign.stage}), and the token with it: stop.")
        if campaign.spec.suspend:
            raise Busy("The campaign is suspended: wait until it is resumed.", SUSPENDED_SECONDS)
        wanted = campaign.spec.researchers.model
        if opening.asked.model != wanted:
            raise NotAllowed(f"Model {opening.asked.model!r} is not this campaign's: use {wanted!r}.")
        amount = opening.amount
        self._check_money(opening, amount)
        self.reserved += amount
        self.llm_reserved += amount
        values = {"call": opening.call, "researcher": opening.caller.subject, "kind": opening.kind, "reserved": amount}
        self.opened.append(values | {"model": wanted, "started": Hub.now(), "outcome": purse.OPEN})

    def _check_money(self, opening: Opening, amount: int) -> None:
        free = min(self.limit - self.spent - self.reserved, self.llm_limit - self.llm_spent - self.llm_reserved)
        if amount <= free or amount == 0:
            return
        unspent = min(self.limit - self.spent - self.verification, self.llm_limit - self.llm_spent)
        price, left = money.format_usd(amount), money.format_usd(max(0, unspent))
        if amount <= unspent:
            raise Busy(
                f"The call may cost {price} USD, which are unspent but held by what runs now: try again.", RETRY_SECONDS
            )
        fits = opening.rates.output_that_fits(opening.asked.prompt, unspent)
        if fits < 1:
            raise PurseUsed(
                f"The purse is used: {left} USD are left for LLM calls and this one may cost {price}: stop."
            )
        raise PurseUsed(
            f"The call may cost {price} USD, but {left} are left for LLM calls: stop, or lower max_tokens from "
            f"{opening.asked.output} to at most {fits}.",
            max_tokens=fits,
        )

    def close(self, closing: Closing, reserved: int) -> None:
        """Pay for a call, and let go of what it held."""
        self.spent += closing.cost
        self.llm_spent += closing.cost
        self.reserved -= reserved
        self.llm_reserved -= reserved
        values = {"the_call": closing.call, "outcome": closing.outcome, "status": closing.status, "cost": closing.cost}
        self.closed.append(values | vars(closing.tokens) | {"record": closing.record, "ended": Hub.now()})
        if closing.cost:
            row = {"key": f"llm:{closing.call}", "entry": "settle", "account": purse.LLM, "micros": closing.cost}
            self.paid.append(row | {"created": Hub.now()})

    def write(self, tx: sa.Connection) -> None:
        """Add the rows."""
        if self.opened:
            _OPEN.run(tx, self.opened)
        if self.closed:
            _CLOSE.run(tx, self.closed)
        if self.paid:
            _PAY.run(tx, self.paid)
            purse.add_total(tx, "settle", purse.LLM, sum(row["micros"] for row in self.paid))


def _named(*columns: str) -> dict[str, Any]:
    return {name: sa.bindparam(name) for name in columns}


_KINDS = tuple(vars(Tokens()))
_OPEN = Prepared(
    sa.insert(tables.llm_calls).values(
        _named("call", "researcher", "kind", "reserved", "model", "started", "outcome")
        | dict.fromkeys(("cost", *_KINDS), sa.literal_column("0"))
    )
)
_CLOSE = Prepared(
    sa.update(tables.llm_calls)
    .where(tables.llm_calls.c.call == sa.bindparam("the_call"))
    .values(_named("outcome", "status", "cost", "record", "ended", *_KINDS))
)
_PAY = Prepared(sa.insert(tables.ledger).values(_named("key", "entry", "account", "micros", "created")))
Step = Callable[[Page], None]
Waiting = tuple[bool, Step, asyncio.Future[None]]
"""(opens, step, what its caller waits for)."""


class Meter:
    """Runs steps one after another on pages of their own: in this thread if nobody else writes, which takes less time than another thread to wake."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="meter")
        self._waiting: list[Waiting] = []
        self._turning = False
        self._last: tuple[int, Page] | None = None
        # A thread of its own: the next page need not wait for the disk.
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._unsynced = False
        self._due: asyncio.TimerHandle | None = None

    async def open(self, opening: Opening) -> None:
        """Hold the money of a call; back when it survives a kill. Raises as Page.open."""
        await self._run(True, lambda page: page.open(opening))

    async def close(self, closing: Closing, reserved: int) -> None:
        """Pay for a call."""
        await self._run(False, lambda page: page.close(closing, reserved))

    async def owes(self, call: str) -> bool:
        """Whether a call is still to be paid, as far as can be read: a commit may have failed only in the telling."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._owes, call)

    def _owes(self, call: str) -> bool:
        calls = tables.llm_calls.c
        with contextlib.suppress(sa.exc.SQLAlchemyError), self._hub.db.read() as tx:
            return bool(tx.execute(sa.select(calls.outcome).where(calls.call == call)).scalar_one() == purse.OPEN)
        return True

    async def _run(self, opens: bool, step: Step) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((opens, step, done))
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)  # not at once: what else comes in this turn of the loop shares the page
        await done

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """A page for those who wait; what closes comes first, since it frees money for what opens.

        Callers go on before the disk has synced: what a page holds survives a kill at once, and a failure of the machine some
        milliseconds later, which is less than a call takes to reach the provider and to cost anything there.
        """
        batch, self._waiting = sorted(self._waiting, key=lambda one: one[0]), []
        if self._hub.db.quick:
            with contextlib.suppress(WriterBusy):
                self._done(loop, batch, self._try_page(batch, wait=False))
                return
        working = loop.run_in_executor(self._thread, self._try_page, batch)
        working.add_done_callback(lambda ended: self._done(loop, batch, ended.result()))

    def _done(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting], results: Sequence[Exception | None]) -> None:
        _tell(batch, results)
        if not self._unsynced:
            self._unsynced = True
            self._due = loop.call_later(SYNC_SECONDS, self._syncer.submit, self._sync)
        self._turning = bool(self._waiting)
        if self._turning:
            loop.call_soon(self._turn, loop)

    def _sync(self) -> None:
        self._unsynced = False  # first: what is written from here on needs another
        self._hub.db.sync()

    def _try_page(self, batch: list[Waiting], wait: bool = True) -> Sequence[Exception | None]:
        try:
            return self._page(batch, wait)
        except WriterBusy:
            raise
        except Exception as error:  # noqa: BLE001  whatever the database says, each of these callers has to hear it
            return [error] * len(batch)

    def _page(self, batch: list[Waiting], wait: bool) -> list[Exception | None]:
        """The steps in one transaction. If nobody wrote since the last page, the purse is as that one left it, and need not be read."""
        database, (generation, last) = self._hub.db, self._last or (-1, None)
        with database.write_ahead(wait=wait) as tx:
            page = last.next() if last is not None and database.generation == generation else Page.of(tx)
            results = [_try(step, page) for _, step, _ in batch]
            page.write(tx)
            generation = database.generation + 1
        self._last = generation, page
        return results

    def stop(self) -> None:
        """End the threads, after a last sync."""
        if self._due is not None:
            self._due.cancel()
            self._syncer.submit(self._sync)
        self._thread.shutdown()
        self._syncer.shutdown()


def _try(step: Step, page: Page) -> Exception | None:
    try:
        step(page)
    except GatewayError as error:
        return error
    return None


def _tell(batch: list[Waiting], results: Sequence[Exception | None]) -> None:
    for (_, _, done), result in zip(batch, results, strict=True):
        if not done.done():
            done.set_result(None) if result is None else done.set_exception(result)


def settle_lost(hub: Hub) -> int:
    """Pay, at what they held, the calls whose end no hub saw; how many there were. At start, and at the end after the last call."""
    calls = tables.llm_calls.c
    with hub.db.write() as tx:
        page = Page.of(tx)
        rows = tx.execute(sa.select(calls.call, calls.reserved).where(calls.outcome == purse.OPEN)).all()
        for row in rows:
            page.close(Closing(row.call, LOST, None, row.reserved, Tokens(), None), row.reserved)
        page.write(tx)
    return len(rows)
