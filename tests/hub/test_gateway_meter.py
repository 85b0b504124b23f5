"""The meter beside other writers of the database, and what it leaves on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aar_api.wire import CampaignOpening
from aar_hub import hub as hubs
from aar_hub import opening
from aar_hub.auth import Caller
from aar_hub.gateway import prices
from aar_hub.gateway.meter import Closing, Meter, Opening
from aar_hub.gateway.params import Asked
from aar_hub.gateway.prices import Tokens
from aar_hub.hub import Hub
from aar_hub.settings import Settings
from aar_hub.store.database import CHECKPOINT_SYNCS
from hub.gatewayworld import KEY, MODEL, spec

ROWS = 3 * CHECKPOINT_SYNCS


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = hubs.start(Settings(data_dir=tmp_path / "data", operator_token="o", provider_key=KEY))
    told = {"name": "camp", "namespace": "default", "uid": "u", "spec": spec()}
    opening.open_campaign(made, CampaignOpening.model_validate(told))
    yield made
    made.db.close()


def call(number: int) -> Opening:
    rates = prices.rates(MODEL, datetime.now(UTC))
    return Opening(f"c{number}", Caller("researcher", "r0"), "u", "messages", Asked(MODEL, True, 100, 100), rates)


def rows(hub: Hub, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(hub.settings.data_dir / "hub.sqlite") as database:
        return database.execute(query).fetchall()


def test_a_slow_writer_holds_up_the_calls_but_not_the_loop(hub: Hub) -> None:
    wrote, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with hub.db.write():
            wrote.set()
            go_on.wait(30)

    async def work() -> int:
        meter, turns = Meter(hub), 0
        waiting = [asyncio.create_task(meter.open(call(number))) for number in range(3)]
        for _ in range(20):
            await asyncio.sleep(0.005)
            turns += not any(one.done() for one in waiting)
        go_on.set()
        await asyncio.gather(*waiting)
        await meter.close(Closing("c0", "answered", 200, 7, Tokens(output=1), None), call(0).amount)
        meter.stop()
        return turns

    writer = threading.Thread(target=write)
    writer.start()
    assert wrote.wait(30)
    assert asyncio.run(work()) == 20, "the loop went on while the calls waited"
    writer.join()
    assert rows(hub, "SELECT call, outcome, cost FROM llm_calls ORDER BY 1") == [
        ("c0", "answered", 7),
        ("c1", "open", 0),
        ("c2", "open", 0),
    ]
    assert rows(hub, "SELECT micros FROM ledger_totals WHERE account = 'llm'") == [(7,)]


def test_what_others_write_between_two_pages_is_seen(hub: Hub) -> None:
    async def work() -> None:
        meter = Meter(hub)
        await meter.open(call(0))
        told = {"name": "camp", "namespace": "default", "uid": "u", "spec": spec() | {"suspend": True}}
        opening.open_campaign(hub, CampaignOpening.model_validate(told))
        try:
            await meter.open(call(1))
        finally:
            meter.stop()

    with pytest.raises(Exception, match="suspended"):
        asyncio.run(work())


def test_the_log_of_the_database_does_not_grow_with_the_calls(hub: Hub) -> None:
    async def work() -> None:
        meter = Meter(hub)
        for number in range(ROWS):
            await meter.open(call(number))
            hub.db.sync()
        meter.stop()

    asyncio.run(work())
    log = hub.settings.data_dir / "hub.sqlite-wal"
    assert log.stat().st_size < 2 * CHECKPOINT_SYNCS * 5 * 4120, (
        "five pages a row, in frames, for at most two checkpoints"
    )
    assert rows(hub, "SELECT COUNT(*) FROM llm_calls") == [(ROWS,)]


def test_a_page_that_fails_tells_its_callers_and_no_others(hub: Hub) -> None:
    async def work() -> tuple[object, ...]:
        meter = Meter(hub)
        await meter.open(call(0))
        first = await asyncio.gather(meter.open(call(0)), meter.open(call(1)), return_exceptions=True)
        await meter.open(call(2))
        meter.stop()
        return tuple(type(one).__name__ for one in first)

    assert asyncio.run(work()) == ("IntegrityError", "IntegrityError"), "one call's name was taken"
    assert rows(hub, "SELECT call FROM llm_calls ORDER BY 1") == [("c0",), ("c2",)]
