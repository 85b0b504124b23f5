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
from aar_hub import auth, opening, progress, records
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
        self.open()
        with self.hub.db.write() as tx:
            records.change_campaign(tx, stage="researching")

    def open(self, **more: Any) -> None:
        told = {"name": "camp", "namespace": "default", "uid": "u", "spec": spec() | more}
        opening.open_campaign(self.hub, CampaignOpening.model_validate(told))

    def post(self, plan: dict[str, Any], **more: Any) -> int:
        """The status of the answer to one call."""
        return asyncio.run(self._post(ask(plan) | more))

    async def _post(self, body: dict[str, Any]) -> int:
        gateway = Gateway(self.hub)
        token = auth.issue(self.hub, "u", "researcher", "r0")
        headers = {"authorization": f"Bearer {token}", "anthropic-version": "2026-10-21"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://hub") as client:
            answer = await client.post("/v1/messages", content=compact(body), headers=headers)
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
    "a key that is refused": ({"status": 401}, lambda world: None, 502, "refuses the key (401)"),
    "a key or a call that is refused": ({"status": 403}, lambda world: None, 502, "refuses the key or the calls (403)"),
    "a bill that is not paid": ({"status": 402}, lambda world: None, 502, "the account's credit"),
    "a bill, told as a bad call": (
        {"status": 400, "said": "Your credit balance is too low to go on."}, lambda world: None, 502, "the account's credit"),
    "a limit, told as a bad call": (
        {"status": 400, "said": "You have reached your specified API usage limits."}, lambda world: None, 502, "its limit"),
    "no such model": ({"status": 404}, lambda world: None, 404, "researchers.model"),
    "a crowd": ({"status": 429}, lambda world: None, 429, "takes no more calls for now (429)"),
    "overloaded": ({"status": 529}, lambda world: None, 529, "takes no more calls for now (529)"),
    "a provider that fails": ({"status": 503}, lambda world: None, 502, "fails (503)"),
    "answers that break off": ({"cut": 10}, lambda world: None, 502, "break off"),
    "no key": ({}, unplug, 503, "cannot be read from"),
}  # fmt: skip


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


def test_streams_that_break_off_are_an_outage_though_they_begin_well(world: World) -> None:
    assert world.post({"error": "overloaded_error"}, stream=True) == 200
    world.time += TOLD_SECONDS
    assert "break off" in world.told
    assert (world.post({}, stream=True), world.told) == (200, "")


CALLERS = {"a bad call": {"status": 400}, "one that repeats a bill's words": {"status": 400, "said": "x: Your credit balance is too low"}}  # fmt: skip


@pytest.mark.parametrize("case", CALLERS)
def test_a_callers_mistake_says_nothing_of_the_provider(world: World, case: str) -> None:
    assert world.post(CALLERS[case]) == 400
    world.time += TOLD_SECONDS
    assert world.told == ""
    assert world.post({"status": 500}) == 502
    assert world.post(CALLERS[case]) == 400
    world.time += TOLD_SECONDS
    assert world.told != ""


def test_what_is_told_stays_while_the_fault_is_of_one_kind(world: World) -> None:
    assert (world.post({"status": 500}), world.post({"status": 503})) == (502, 502)
    world.time += TOLD_SECONDS
    assert "fails (500)" in world.told
    assert world.post({"status": 401}) == 502
    assert "refuses the key" in world.told


def test_nothing_is_told_when_nobody_may_call(world: World) -> None:
    assert world.post({"status": 500}) == 502
    world.time += TOLD_SECONDS
    assert world.told
    world.open(suspend=True)
    assert world.told == ""
    world.open()
    assert world.told == "", "nobody called it since"
