"""A provider that answers no call, as the campaign's owner gets to know of it: through the summary, after a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from aar_api.wire import CampaignOpening
from aar_hub import auth, opening, progress
from aar_hub import hub as hubs
from aar_hub.gateway.service import Gateway
from aar_hub.gateway.standing import TOLD_SECONDS, Standing
from aar_hub.settings import Settings
from hub.gatewayworld import KEY, ask, compact, spec
from hub.provider import Provider


class World:
    """A hub in this process, whose clock stands still until it is moved."""

    def __init__(self, folder: Path, url: str) -> None:
        self.time, self.key_file = 0.0, folder / "key"
        self.key_file.write_text(KEY)
        settings = Settings(
            data_dir=folder / "data", operator_token="o", provider_url=url, provider_key_file=self.key_file
        )
        self.hub = replace(hubs.start(settings), provider=Standing(lambda: self.time))
        told = {"name": "camp", "namespace": "default", "uid": "u", "spec": spec()}
        opening.open_campaign(self.hub, CampaignOpening.model_validate(told))

    def post(self, plan: dict[str, Any]) -> int:
        """The status of the answer to one call."""
        return asyncio.run(self._post(plan))

    async def _post(self, plan: dict[str, Any]) -> int:
        gateway = Gateway(self.hub)
        token = auth.issue(self.hub, "u", "researcher", "r0")
        headers = {"authorization": f"Bearer {token}", "anthropic-version": "2026-10-21"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://hub") as client:
            answer = await client.post("/v1/messages", content=compact(ask(plan)), headers=headers)
        await gateway.close()
        return answer.status_code

    @property
    def told(self) -> str:
        return progress.summary(self.hub).provider_fault


@pytest.fixture
def world(tmp_path: Path, provider: Provider) -> Iterator[World]:
    made = World(tmp_path, provider.url)
    yield made
    made.hub.db.close()


def unplug(world: World) -> None:
    world.key_file.unlink()


FAULTS: dict[str, tuple[dict[str, Any], Callable[[World], None], int, str]] = {
    "a key that is refused": ({"status": 401}, lambda world: None, 502, "refuses the hub's key"),
    "a bill that is not paid": ({"status": 402}, lambda world: None, 502, "answered the hub with 402"),
    "a provider that fails": ({"status": 503}, lambda world: None, 502, "answered the hub with 503"),
    "no key": ({}, unplug, 503, "cannot be read from"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_an_outage_is_told_after_a_minute_and_until_a_call_succeeds(world: World, case: str) -> None:
    plan, break_it, status, why = FAULTS[case]
    assert world.post({}) == 200
    break_it(world)
    assert world.post(plan) == status
    world.time += TOLD_SECONDS - 1
    assert (world.post(plan), world.told) == (status, "")
    world.time += 1
    assert world.told.startswith("No LLM call has succeeded since 2")
    assert why in world.told
    assert KEY not in world.told
    world.key_file.write_text(KEY)
    assert (world.post({}), world.told) == (200, "")


AFTER = {"the caller's mistake": (400, False), "no such model": (404, False), "a crowd": (429, True), "too much": (529, True)}  # fmt: skip


@pytest.mark.parametrize(("status", "goes_on"), AFTER.values(), ids=AFTER)
def test_whether_an_outage_goes_on_with_an_answer_that_is_the_callers_to_read(
    world: World, status: int, goes_on: bool
) -> None:
    assert world.post({"status": 500}) == 502
    world.time += TOLD_SECONDS
    assert world.post({"status": status}) == status
    assert bool(world.told) == goes_on


def test_a_crowd_alone_is_no_outage(world: World) -> None:
    assert world.post({"status": 529}) == 529
    world.time += 10 * TOLD_SECONDS
    assert world.told == ""
