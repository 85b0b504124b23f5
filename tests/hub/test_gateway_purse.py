"""Money: the limit holds whoever calls, whatever is killed; and verification keeps its own."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from aar_api import money
from hub.gatewayworld import PATIENCE_SECONDS, Hub, ask, compact, spec, until
from hub.provider import Provider

CALLERS = 64


@pytest.fixture
def provider() -> Iterator[Provider]:
    double = Provider()
    yield double
    double.stop()


@pytest.fixture
def hub(provider: Provider, tmp_path: Path) -> Iterator[Hub]:
    started = Hub(tmp_path, provider.url)
    yield started
    started.stop(signal.SIGKILL)  # it may be building its task, which nobody here waits for


def limited(**budget: str) -> dict[str, Any]:
    return spec() | {"budget": {"limitUSD": "1000.00", **budget}}


def worst(request: dict[str, Any]) -> int:
    """Micro-dollars that the hub has to hold for a request."""
    return (len(compact(request)) + 2048) * 8 + request["max_tokens"] * 20


class Watch:
    """Looks again and again whether what is spent and held stays within a limit; each look is one transaction of the database."""

    LOOK = """select (select coalesce(sum(micros), 0) from ledger where entry <> 'gpu') + (select coalesce(sum(reserved), 0) from llm_calls where outcome = 'open'),
                     (select count(*) from llm_calls where outcome = 'open')"""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._stop = hub, threading.Event()
        self.most, self.most_open, self.looks = 0, 0, 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.is_set():
            [(total, calls)] = self._hub.rows(self.LOOK)
            self.most, self.most_open, self.looks = max(self.most, total), max(self.most_open, calls), self.looks + 1
            time.sleep(0.002)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def spend_all(hub: Hub, request: dict[str, Any], subject: str) -> str:
    """Call until 402; what it said."""
    client = hub.client(hub.token("researcher", subject), timeout=60)
    while True:
        try:
            client.messages.create(**request)
        except anthropic.PaymentRequiredError as used:
            return used.body["error"]["message"]  # type: ignore[index]
        except anthropic.RateLimitError as busy:
            time.sleep(int(busy.response.headers["retry-after"]) / 100)


@pytest.mark.parametrize("part", ["llmLimitUSD", "limitUSD beside verification"])
def test_64_callers_stop_within_one_call_of_the_limit(hub: Hub, part: str) -> None:
    request = ask({"usage": {"input_tokens": 2000, "output_tokens": 900}})
    wanted = limited() | {"evaluation": {"replication": {"topK": 1, "seeds": 2}}}
    assert hub.open(wanted).status_code == 204
    verification = money.parse_usd(hub.spend()["reservedUSD"])
    assert verification > 0
    hub.client().messages.create(**request)
    hub.settled(1)
    limit = 6_000_000
    whole = {"limitUSD": money.format_usd(limit + verification)}
    wanted["budget"] = (
        whole if "verification" in part else {"limitUSD": "1000.00", "llmLimitUSD": money.format_usd(limit)}
    )
    assert hub.open(wanted).status_code == 204, hub.open(wanted).text
    watch = Watch(hub)
    with ThreadPoolExecutor(CALLERS) as pool:
        said = list(pool.map(lambda i: spend_all(hub, request, f"r{i}"), range(CALLERS)))
    calls = hub.settled(1)
    watch.stop()
    spent = money.parse_usd(hub.spend()["llmUSD"])
    assert watch.looks > 10
    assert watch.most_open > 1
    assert watch.most <= limit + verification
    assert limit - worst(request) < spent <= limit
    assert spent == sum(money.parse_usd(one["costUsd"]) for one in calls) == len(calls) * (2000 * 4 + 900 * 20)
    assert money.parse_usd(hub.spend()["reservedUSD"]) == verification
    assert all("left for LLM calls" in text for text in said)
    assert hub.rows("select count(*) from ledger where account = 'llm'") == [(len(calls),)]
    totals = hub.rows("select entry, account, micros from ledger_totals order by 1, 2")
    assert totals == hub.rows("select entry, account, sum(micros) from ledger group by 1, 2 order by 1, 2")


def test_what_is_only_held_is_worth_waiting_for(hub: Hub, provider: Provider) -> None:
    request = ask({"hold": True, "usage": {"input_tokens": 1, "output_tokens": 1}})
    hub.open(limited(llmLimitUSD=money.format_usd(worst(request) * 3 // 2)))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hub.client().messages.create, **request)
        until(lambda: provider.holding)
        with pytest.raises(anthropic.RateLimitError, match="held by what runs now") as busy:
            hub.client().messages.create(**request)
        assert busy.value.response.headers["retry-after"] == "5"
        provider.release.set()
        first.result()
    hub.settled(1)
    hub.client().messages.create(**request)
    hub.settled(2)
    assert hub.spend()["llmUSD"] == money.format_usd(2 * (4 + 20))


def test_the_brief_tells_what_is_left_for_calls(hub: Hub) -> None:
    def told() -> Any:
        url, token = f"{hub.sandbox}/v1/brief", hub.token()
        headers = {"authorization": f"Bearer {token}"}
        return httpx.get(url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS).json()["purse"]

    hub.open(limited())
    assert told().get("llmLeftUsd") is None
    hub.open(limited(llmLimitUSD="2.00"))
    hub.client().messages.create(**ask())
    hub.settled(1)
    assert told()["llmLeftUsd"] == money.format_usd(2_000_000 - 100 * 4 - 20 * 20)


def test_402_gives_the_max_tokens_that_fit(hub: Hub, provider: Provider) -> None:
    request = ask()
    hub.open(limited(llmLimitUSD=money.format_usd(worst(request) - 1)))
    with pytest.raises(anthropic.PaymentRequiredError, match="lower max_tokens from 1000 to at most 999") as used:
        hub.client(max_retries=5).messages.create(**request)
    assert used.value.type == "billing_error"
    assert used.value.response.headers["x-should-retry"] == "false"
    assert used.value.body["error"]["details"]["max_tokens"] == 999  # type: ignore[index]
    assert provider.seen == []
    # One digit less in the body pays for the rest of a token.
    hub.client().messages.create(**request | {"max_tokens": 999})
    hub.open(limited(llmLimitUSD=hub.settled(1) and money.format_usd(100 * 4 + 20 * 20 + 100)))
    with pytest.raises(anthropic.PaymentRequiredError, match="The purse is used"):
        hub.client().messages.create(**request | {"max_tokens": 1})
    counting = {name: value for name, value in request.items() if name != "max_tokens"}
    assert hub.client().messages.count_tokens(**counting).input_tokens == 2095


STOPPED = {
    "killed": (signal.SIGKILL, {}, "lost", None),
    "stopped after some figures": (signal.SIGTERM, {}, "broken", 100 * 4 + 1000 * 20),
    "stopped before any": (signal.SIGTERM, {"usage": {}}, "broken", None),
}


@pytest.mark.parametrize(("how", "plan", "outcome", "cost"), STOPPED.values(), ids=STOPPED)
def test_a_call_whose_end_was_not_seen_is_paid_by_what_was(
    hub: Hub, provider: Provider, how: signal.Signals, plan: dict[str, Any], outcome: str, cost: int | None
) -> None:
    hub.open(limited())
    request = ask({"hold": True} | plan, stream=True)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(hub.post, request)
        until(lambda: provider.holding)
        assert hub.spend()["reservedUSD"] == money.format_usd(worst(request))
        hub.stop(how)
    hub.start()
    [call] = hub.calls()
    assert (call["outcome"], call["costUsd"]) == (outcome, money.format_usd(cost or worst(request)))
    assert call["kept"] is (how == signal.SIGTERM)
    spend = hub.spend()
    assert (spend["llmUSD"], spend["totalUSD"], spend["reservedUSD"]) == (call["costUsd"], call["costUsd"], "0.00")
    hub.stop(signal.SIGKILL)
    hub.start()
    assert hub.spend() == spend


def test_a_call_is_paid_though_its_record_cannot_be_stored(hub: Hub) -> None:
    hub.open(limited())
    blobs = hub.folder / "data" / "blobs"
    blobs.rename(blobs.with_name("away"))
    blobs.write_text("no folder")
    assert hub.post(ask()).status_code == 200
    [call] = hub.settled(1)
    assert (call["outcome"], call["costUsd"], call["kept"]) == ("answered", money.format_usd(100 * 4 + 20 * 20), False)
    assert hub.spend()["reservedUSD"] == "0.00"
    assert "paid without a record" in hub.log.read_text()


def test_a_payment_that_fails_is_tried_again(hub: Hub, provider: Provider) -> None:
    hub.open(limited())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(hub.post, ask({"hold": True}))
        until(lambda: provider.holding)
        hub.rows("create trigger full before update on llm_calls begin select raise(abort, 'full'); end")
        provider.release.set()
        until(lambda: hub.log.read_text().count("is not paid yet") > 1)
        hub.rows("drop trigger full")
        assert running.result().status_code == 200
    [call] = hub.settled(1)
    assert (call["outcome"], call["costUsd"]) == ("answered", money.format_usd(100 * 4 + 20 * 20))
    assert hub.rows("select count(*), sum(micros) from ledger where account = 'llm'") == [(1, 100 * 4 + 20 * 20)]


def test_tokens_end_with_research_and_rest_while_suspended(hub: Hub) -> None:
    hub.open(limited())
    token = hub.token()
    hub.client(token).messages.create(**ask())
    hub.open(limited() | {"suspend": True})
    with pytest.raises(anthropic.RateLimitError, match="suspended"):
        hub.client(token).messages.create(**ask())
    hub.open(limited())
    assert hub.ask("PUT", "/v1/operator/stage", {"stage": "verifying"}).is_success
    with pytest.raises(anthropic.AuthenticationError, match="Research has ended"):
        hub.client(token).messages.create(**ask())


def test_one_researcher_has_so_many_calls_at_once(provider: Provider, tmp_path: Path) -> None:
    hub = Hub(tmp_path, provider.url, AAR_HUB_LLM_CONCURRENCY="2")
    try:
        hub.open(limited())
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(hub.post, ask({"hold": True})) for _ in range(2)]
            until(lambda: provider.holding == 2)
            answer = hub.post(ask())
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert "2 calls under way" in answer.text
            assert hub.post(ask(), token=hub.token("researcher", "r1")).status_code == 200
            provider.release.set()
            assert [one.result().status_code for one in running] == [200, 200]
        hub.settled(3)
        assert hub.post(ask()).status_code == 200
    finally:
        hub.stop(signal.SIGKILL)


def test_a_body_on_its_way_takes_a_place(provider: Provider, tmp_path: Path) -> None:
    hub = Hub(tmp_path, provider.url, AAR_HUB_LLM_CONCURRENCY="2")
    try:
        hub.open(limited())
        head = f"POST /v1/messages HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {hub.token()}\r\ncontent-length: 999\r\n\r\n{{"
        where = httpx.URL(hub.sandbox)
        halves = [socket.create_connection((where.host, where.port or 0)) for _ in range(2)]
        for one in halves:
            one.sendall(head.encode())
        until(lambda: hub.post(ask()).status_code == 429)
        for one in halves:
            one.close()
        until(lambda: hub.post(ask()).status_code == 200)
    finally:
        hub.stop(signal.SIGKILL)


def test_an_unknown_model_is_refused_at_opening(hub: Hub) -> None:
    wanted = limited() | {"researchers": {"kind": "claude", "model": "claude-opus-9"}}
    answer = hub.open(wanted)
    assert (answer.status_code, answer.json()["reason"]) == (422, "UnknownModel")
    assert "claude-opus-9" in answer.json()["message"]
    assert hub.open(limited()).status_code == 204
    assert hub.open(wanted).json()["reason"] == "UnknownModel"
    assert hub.post(ask()).status_code == 200


def test_transcript(hub: Hub) -> None:
    hub.open(limited())
    token = hub.token()

    def send(first: int, *lines: str) -> tuple[int, Any]:
        answer = hub.post({"first": first, "lines": lines}, "/v1/transcript", token)
        return answer.status_code, answer.json()

    assert send(0, "a", "b") == (200, {"next": 2})
    assert send(0, "a", "b") == (200, {"next": 2})
    assert send(1, "b", "c") == (200, {"next": 3})
    gap = send(5, "f")
    assert (gap[0], gap[1]["reason"]) == (409, "TranscriptGap")
    assert "3 is next" in gap[1]["message"]
    changed = send(2, "another", "d")
    assert (changed[0], changed[1]["reason"]) == (409, "TranscriptFixed")
    assert send(0)[0] == 422
    hub.post({"first": 0, "lines": ["mine"]}, "/v1/transcript", hub.token("researcher", "r1"))
    hub.stop(signal.SIGKILL)
    hub.start()
    kept = hub.ask("GET", "/v1/operator/researchers/r0/transcript?since=1", token=hub.token("viewer", "v")).json()
    assert [(one["number"], one["line"]) for one in kept] == [(1, "b"), (2, "c")]


def test_the_model_is_the_campaigns(hub: Hub) -> None:
    hub.open(limited() | {"researchers": {"kind": "search"}})
    with pytest.raises(anthropic.PermissionDeniedError, match="not this campaign's"):
        hub.client().messages.create(**ask())
    assert hub.spend()["llmUSD"] == "0.00"
