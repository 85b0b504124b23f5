"""Calls through a hub process to a provider's double, asked with the real SDK: what is passed on, what is paid, what is refused."""

from __future__ import annotations

import json
import signal
import socketserver
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import anthropic
import genai_prices
import httpx
import pytest
from aar_hub.gateway import params, prices, tap
from aar_hub.gateway.errors import BadCall
from aar_hub.gateway.upstream import STALE_SECONDS
from hub.gatewayworld import KEY, MODEL, PATIENCE_SECONDS, Hub, ask, compact, spec, until
from hub.provider import Provider


def micros(usd: str) -> int:
    return int(Decimal(usd) * 1_000_000)


def price(usage: dict[str, Any]) -> int:
    """What genai-prices itself says of a usage, rounded up."""
    found = genai_prices.extract_usage({"model": MODEL, "usage": usage}, provider_id="anthropic")
    usd = found.calc_price(genai_request_timestamp=datetime.now(UTC)).total_price
    return int((usd * 1_000_000).to_integral_value(rounding=ROUND_CEILING))


def cached(read: int, minutes: int, hour: int) -> dict[str, Any]:
    detail = {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour}
    both = {"cache_read_input_tokens": read, "cache_creation_input_tokens": minutes + hour}
    return {"input_tokens": 33, "output_tokens": 7, "cache_creation": detail} | both


USAGES = {
    "plain": ({"input_tokens": 123, "output_tokens": 45}, 123 * 4 + 45 * 20),
    "cache read": (cached(10_001, 0, 0), 33 * 4 + 7 * 20 + 2001),  # 10,001 at 0.2 is 2000.2, rounded up
    "cache write 5 minutes": (cached(0, 2_000, 0), 33 * 4 + 7 * 20 + 2_000 * 5),
    "cache write 1 hour": (cached(0, 0, 2_000), 33 * 4 + 7 * 20 + 2_000 * 8),
    "cache all kinds": (cached(50, 30, 20), 33 * 4 + 7 * 20 + 10 + 150 + 160),
    "cache write without detail": ({"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 10}, 74),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("usage", "cost"), USAGES.values(), ids=USAGES)
def test_exact_dollars(hub: Hub, usage: dict[str, Any], cost: int, stream: bool) -> None:
    before, count = micros(hub.spend()["llmUSD"]), len(hub.calls())
    client, request = hub.client(), ask({"usage": usage, "words": ["four ", "words ", "of ", "text"]})
    if stream:
        with client.messages.stream(**request) as answer:
            message = answer.get_final_message()
    else:
        message = client.messages.create(**request)
    assert message.content[0].text == "four words of text"
    last = hub.settled(count + 1)[-1]
    assert cost == price(usage)
    assert micros(last["costUsd"]) == cost
    assert micros(hub.spend()["llmUSD"]) - before == cost
    assert last["tokens"]["output"] == usage["output_tokens"]
    assert (last["outcome"], last["status"], last["model"], last["researcher"]) == ("answered", 200, MODEL, "r0")


def test_a_compaction_is_paid_beside_the_answer(hub: Hub) -> None:
    count = len(hub.calls())
    run = {"input_tokens": 1000, "output_tokens": 100}
    usage = {"input_tokens": 10, "output_tokens": 5, "iterations": [run | {"type": "compaction"}, {"type": "message"}]}
    hub.client().messages.create(**ask({"usage": usage}))
    assert micros(hub.settled(count + 1)[-1]["costUsd"]) == 10 * 4 + 5 * 20 + 1000 * 4 + 100 * 20


def test_counting_tokens_is_free(hub: Hub) -> None:
    before, count = hub.spend(), len(hub.calls())
    request = ask()
    del request["max_tokens"]
    assert hub.client().messages.count_tokens(**request).input_tokens == 2095
    last = hub.settled(count + 1)[-1]
    assert (last["kind"], last["costUsd"], last["kept"]) == ("count_tokens", "0.00", False)
    assert hub.spend() == before


def test_the_body_goes_out_byte_for_byte_with_another_key(hub: Hub, provider: Provider) -> None:
    body = b'{ "model":"claude-opus-5-5",\n\t"max_tokens" : 10, "messages":[{"content":"\\u00e9 \xc3\xa9","role":"user"}] }'
    token = hub.token()
    answer = hub.post(
        body, "/v1/messages?beta=true", headers={"anthropic-beta": "some-beta-2026-01-01", "cookie": "a=b"}
    )
    sent = provider.seen[-1]
    assert answer.status_code == 200
    assert answer.headers["request-id"] == "req_1"
    assert sent.body == body
    assert sent.path == "/v1/messages?beta=true"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["anthropic-beta"] == "some-beta-2026-01-01"
    assert sent.headers["anthropic-version"] == "2026-10-21"
    assert sent.headers["accept-encoding"] == "identity"
    assert token not in str(sent.headers)
    assert "cookie" not in sent.headers


def test_the_token_may_come_as_api_key(hub: Hub) -> None:
    request = json.dumps(ask()).encode()
    answer = httpx.post(
        f"{hub.sandbox}/v1/messages",
        content=request,
        headers={"x-api-key": hub.token()},
        trust_env=False,
        timeout=PATIENCE_SECONDS,
    )
    assert answer.status_code == 200


URL = {"type": "url", "url": "http://attacker.example/?q=secret"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "mcp servers": ({"mcp_servers": [{"type": "url", "url": "http://x", "name": "x"}]}, "mcp_servers"),
    "container": ({"container": "c"}, "container"),
    "fallbacks": ({"fallbacks": [{"model": "claude-fable-5-2"}]}, "fallbacks"),
    "geography": ({"inference_geo": "us"}, "inference_geo"),
    "thread": ({"thread": {"id": "t"}}, "thread"),
    "tier": ({"service_tier": "auto"}, "service_tier"),
    "fast": ({"speed": "fast"}, "speed"),
    "who pays": ({"user_profile_id": "u"}, "user_profile_id"),
    "unheard of": ({"new_dear_thing": True}, "does not know what it costs"),
    "another case": ({"Model": "claude-fable-5-2"}, "'Model'"),
    "web search": ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "web_search"),
    "web fetch": ({"tools": [{"type": "web_fetch_20260318", "name": "web_fetch"}]}, "web_fetch"),
    "code execution": ({"tools": [{"type": "code_execution_20260521", "name": "c"}]}, "code_execution"),
    "compaction by itself": ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "compact_20260112"),
    "image by URL": ({"messages": [{"role": "user", "content": [{"type": "image", "source": URL}]}]}, "'url'"),
    "image in a result": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image", "source": URL}]}]}
            ]
        },
        "'url'",
    ),
    "PDF": (
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]},
        "base64",
    ),
    "file": (
        {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
        "container_upload",
    ),
    "no limit": ({"max_tokens": None}, "max_tokens"),
    "endless": ({"max_tokens": 10**9}, "max_tokens"),
    "fraction": ({"max_tokens": 1.5}, "max_tokens"),
    "tools no list": ({"tools": {"type": "custom"}}, "tools"),
}


@pytest.mark.parametrize(("extra", "told"), REFUSED.values(), ids=REFUSED)
def test_what_costs_outside_the_meter_is_refused(
    hub: Hub, provider: Provider, extra: dict[str, Any], told: str
) -> None:
    before, count = len(provider.seen), len(hub.calls())
    answer = hub.post(ask() | extra)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert told in error["message"]
    assert (len(provider.seen), len(hub.calls())) == (before, count)


def test_a_thread_is_refused_so_that_clients_fall_back(hub: Hub) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        hub.client().messages.create(**ask(), extra_body={"thread": {"id": "t"}})
    assert refused.value.error_code == "thread_unsupported_request"


ODD = {
    "twice": b'{"model": "claude-opus-5-5", "model": "claude-fable-5-2", "max_tokens": 1, "messages": []}',
    "twice within": b'{"model": "claude-opus-5-5", "max_tokens": 1, "messages": [{"role": "user", "role": "system"}]}',
    "utf-16": json.dumps(ask()).encode("utf-16"),
    "NaN": b'{"model": "claude-opus-5-5", "max_tokens": NaN, "messages": []}',
    "list": b"[]",
    "deep": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nothing": b"",
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_a_body_that_can_be_read_in_two_ways_is_refused(hub: Hub, provider: Provider, body: bytes) -> None:
    before = len(provider.seen)
    assert hub.post(body).status_code == 400
    assert len(provider.seen) == before


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("claude-fable-5-2", "not this campaign's"),
        ("claude-opus-9", "no complete prices"),
        ("gpt-5", "no complete prices"),
    ],
    ids=["another", "unpriced", "another provider's"],
)
def test_other_models_are_refused(hub: Hub, model: str, told: str) -> None:
    with pytest.raises(anthropic.PermissionDeniedError, match=told):
        hub.client().messages.create(**ask() | {"model": model})


def test_a_key_that_stands_twice_among_many_is_found_at_once() -> None:
    """Within the time of a test, that is: looking for each among all would take an hour."""
    body = ",".join(f'"k{number}":0' for number in range(500_000))
    with pytest.raises(BadCall, match="'k7' stands twice"):
        params.read(f'{{{body},"k7":1}}'.encode(), counting=False)


PATHS = ["/v1/messages/batches", "/v1/messages/count_tokens/x", "/v1/messages?beta=false", "/v1/messages?a=b"]


@pytest.mark.parametrize("path", PATHS)
def test_other_paths_are_refused(hub: Hub, provider: Provider, path: str) -> None:
    before = len(provider.seen)
    answer = hub.post(ask(), path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert len(provider.seen) == before


@pytest.mark.parametrize("path", ["/v1/complete", "/v1/models", "/v1/files"])
def test_the_rest_of_the_provider_is_not_there(hub: Hub, path: str) -> None:
    assert hub.post(ask(), path).status_code == 404


@pytest.mark.parametrize("role", ["lab-fetch", "lab-post", "baseline", "operator", "viewer"])
def test_other_roles_may_not_call(hub: Hub, role: str) -> None:
    with pytest.raises(anthropic.PermissionDeniedError):
        hub.client(hub.token(role, "r0")).messages.create(**ask())


def test_forged_and_missing_tokens(hub: Hub) -> None:
    head, payload, signature = hub.token().split(".")
    for token in ("nonsense", f"{head}.{payload}.{signature[::-1]}", f"{head}.{payload}."):
        with pytest.raises(anthropic.AuthenticationError):
            hub.client(token).messages.create(**ask())
    answer = httpx.post(f"{hub.sandbox}/v1/messages", json=ask(), trust_env=False, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 401


@pytest.mark.parametrize("status", [400, 404, 413, 422, 429, 529])
def test_refusals_of_the_provider_are_the_callers_to_read(hub: Hub, status: int) -> None:
    before, count = hub.spend(), len(hub.calls())
    answer = hub.post(ask({"status": status}))
    assert answer.status_code == status
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["error"]["message"] == "refused Bearer [key]"
    last = hub.settled(count + 1)[-1]
    assert (last["outcome"], last["status"], last["costUsd"]) == ("refused", status, "0.00")
    assert hub.spend() == before


WAITS = {"7": "7", "59.5": "59.5", "3600": "60", "inf": "60", "nan": "60", "Fri, 31 Dec 2049 23:59:59 GMT": "60"}


@pytest.mark.parametrize(("wait", "told"), WAITS.items(), ids=WAITS)
def test_no_caller_is_put_to_sleep_for_long(hub: Hub, wait: str, told: str) -> None:
    assert hub.post(ask({"status": 529, "wait": wait})).headers["retry-after"] == told


@pytest.mark.parametrize("status", [301, 401, 402, 403, 500, 503])
def test_what_is_between_hub_and_provider_is_a_fault(hub: Hub, status: int) -> None:
    before, count = hub.spend(), len(hub.calls())
    answer = hub.post(ask({"status": status}))
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")
    assert str(status) in answer.json()["error"]["message"]
    assert hub.settled(count + 1)[-1]["status"] == status
    assert hub.spend() == before


def most(request: dict[str, Any]) -> int:
    """What the hub holds for a request."""
    return int((len(compact(request)) + 2048) * 8 + request["max_tokens"] * 20)


CUT = {"at once": (1, None), "before its figures": (-70, None), "after its figures": (-1, 100 * 4 + 20 * 20)}


@pytest.mark.parametrize(("bytes_", "cost"), CUT.values(), ids=CUT)
def test_a_cut_answer_that_is_no_stream_is_a_fault_and_paid(hub: Hub, bytes_: int, cost: int | None) -> None:
    count, before, request = len(hub.calls()), micros(hub.spend()["llmUSD"]), ask({"cut": bytes_})
    with pytest.raises(anthropic.InternalServerError, match="broke off"):
        hub.client().messages.create(**request)
    last = hub.settled(count + 1)[-1]
    assert (last["outcome"], last["status"], micros(last["costUsd"])) == ("broken", 200, cost or most(request))
    assert micros(hub.spend()["llmUSD"]) - before == (cost or most(request))
    assert hub.ask("GET", f"/v1/operator/llm/calls/{last['number']}").json()["answer"].startswith("{")


NO_FIGURES = {
    "whole": ({"raw": '{"hello": 1}'}, False),
    "figures that are none": ({"raw": '{"usage": {"input_tokens": null}}'}, False),
    "half of them": ({"raw": '{"usage": {"input_tokens": 5}}'}, False),
    "no JSON": ({"raw": "hello"}, False),
    "stream": ({"usage": {}}, True),
    "stream that breaks": ({"usage": {}, "cut": "text"}, True),
}


@pytest.mark.parametrize(("plan", "stream"), NO_FIGURES.values(), ids=NO_FIGURES)
def test_an_answer_without_figures_costs_what_it_could(hub: Hub, plan: dict[str, Any], stream: bool) -> None:
    count, request = len(hub.calls()), ask(plan, stream=stream)
    assert hub.post(request).status_code == 200
    assert micros(hub.settled(count + 1)[-1]["costUsd"]) == most(request)


WRITTEN = 100 * 4 + 1000 * 20
"""What was read, and as much as may have been written."""
BROKEN = {
    "before any figure": ({"cut": "head"}, 0),
    "before any text": ({"cut": "start"}, WRITTEN),
    "cut in the text": ({"cut": "text", "words": ["x"]}, WRITTEN),
    "cut in a name": ({"cut": "name", "words": ["x"]}, WRITTEN),
    "cut in data": ({"cut": "data", "words": ["x"]}, WRITTEN),
    "cut before an event's end": ({"cut": "line", "words": ["x"]}, WRITTEN),
    "error in the text": ({"error": "overloaded_error", "words": ["x"]}, WRITTEN),
    "that said it read nothing": ({"cut": "text", "usage": {"input_tokens": 0, "output_tokens": 0}}, None),
}


@pytest.mark.parametrize(("plan", "cost"), BROKEN.values(), ids=BROKEN)
def test_a_stream_that_breaks_is_told_and_paid_by_what_was_seen(
    hub: Hub, plan: dict[str, Any], cost: int | None
) -> None:
    count, request = len(hub.calls()), ask(plan)
    with pytest.raises(anthropic.APIStatusError) as broken, hub.client().messages.stream(**request) as answer:
        answer.get_final_message()
    assert broken.value.type in ("api_error", "overloaded_error")
    last = hub.settled(count + 1)[-1]
    wanted = most(request | {"stream": True}) if cost is None else cost
    assert (last["outcome"], micros(last["costUsd"])) == ("broken", wanted)


def test_a_caller_that_hangs_up_is_billed_in_full(hub: Hub, provider: Provider) -> None:
    count, before = len(hub.calls()), micros(hub.spend()["llmUSD"])
    provider.release.clear()
    request = ask({"usage": {"input_tokens": 100, "output_tokens": 900}, "hold": True}, stream=True)
    headers = {"authorization": f"Bearer {hub.token()}"}
    more = {"headers": headers, "trust_env": False, "timeout": PATIENCE_SECONDS}
    with httpx.stream("POST", f"{hub.sandbox}/v1/messages", json=request, **more) as answer:
        assert b"message_start" in next(answer.iter_raw())
    until(lambda: provider.holding)
    assert hub.calls()[-1]["outcome"] == "open"
    provider.release.set()
    last = hub.settled(count + 1)[-1]
    assert (last["outcome"], micros(hub.spend()["llmUSD"]) - before) == ("answered", 100 * 4 + 900 * 20)
    record = hub.ask("GET", f"/v1/operator/llm/calls/{last['number']}").json()
    assert "message_stop" in record["answer"]


def test_the_record_is_whole(hub: Hub) -> None:
    count = len(hub.calls())
    body = json.dumps(ask({"words": ["é", "\u2028"]}, stream=True)).encode()
    answer = hub.post(body)
    record = hub.ask("GET", f"/v1/operator/llm/calls/{hub.settled(count + 1)[-1]['number']}").json()
    assert record["request"].encode() == body
    assert record["answer"].encode() == answer.content
    assert hub.ask("GET", "/v1/operator/llm/calls/999999").status_code == 404
    assert hub.ask("GET", "/v1/operator/llm/calls", token=hub.token()).status_code == 403
    assert (
        hub.ask("GET", "/v1/operator/llm/calls?researcher=r0", token=hub.token("viewer", "v")).json()[0]["researcher"]
        == "r0"
    )
    assert hub.ask("GET", "/v1/operator/llm/calls?researcher=r7").json() == []


def test_metrics(hub: Hub) -> None:
    hub.client().messages.create(**ask())
    assert hub.post(ask() | {"container": "c"}).status_code == 400
    hub.settled(1)
    text = hub.control.get("/metrics").text
    row = hub.rows("select sum(input), sum(cost), count(*) from llm_calls")[0]
    assert f'aar_llm_tokens_total{{campaign="camp",kind="input",model="{MODEL}"}} {float(row[0])}' in text
    assert f'aar_llm_cost_usd_total{{campaign="camp",model="{MODEL}"}} {row[1] / 1e6}' in text
    assert f'aar_llm_calls_total{{campaign="camp",model="{MODEL}",outcome="answered"}}' in text
    assert 'aar_llm_refusals_total{campaign="camp",status="400"}' in text


def test_the_key_is_read_again_and_appears_nowhere(hub: Hub, provider: Provider) -> None:
    hub.key_file.write_text("sk-rotated-key")
    try:
        answer = hub.post(ask({"status": 400}))
        assert provider.seen[-1].headers["authorization"] == "Bearer sk-rotated-key"
    finally:
        hub.key_file.write_text(KEY)
    told = answer.text + str(answer.headers)
    records = [hub.ask("GET", f"/v1/operator/llm/calls/{one['number']}").text for one in hub.settled(1)]
    said = [told, *records, hub.log.read_text(), *map(str, hub.rows("select * from llm_calls"))]
    assert not any(key in text for text in said for key in (KEY, "sk-rotated-key"))


class OneAnswerEach(socketserver.StreamRequestHandler):
    """Says that the connection stays open, and closes it when the next request comes: what an idle limit looks like from here."""

    def handle(self) -> None:
        self.rfile.read(self._length())
        body = json.dumps({"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}}).encode()
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.rfile.readline()

    def _length(self) -> int:
        length = 0
        while (line := self.rfile.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return length


def prompt(hub: Hub) -> httpx.Response:
    """An answer that came so soon that the hub cannot take a closed connection for work that was done."""
    for _ in range(10):
        began = time.monotonic()
        answer = hub.post(ask())
        if time.monotonic() - began < STALE_SECONDS:
            break
    return answer


def test_a_connection_that_the_provider_has_closed_costs_no_call(tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OneAnswerEach) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub = Hub(tmp_path, f"http://127.0.0.1:{server.server_address[1]}")
        try:
            hub.open(spec())
            assert [prompt(hub).status_code for _ in range(3)] == [200, 200, 200]
            server.shutdown()
            server.server_close()
            answer = until(lambda: (found := prompt(hub)).status_code != 200 and found)
            assert answer.status_code == 502
            assert "cannot be reached" in answer.text
        finally:
            hub.stop(signal.SIGKILL)


class Deaf(socketserver.StreamRequestHandler):
    """Takes a call and hangs up without a word, after as long as the first line of the prompt says."""

    waits = 0.0
    took = 0

    def handle(self) -> None:
        OneAnswerEach._length(self)  # type: ignore[arg-type]
        type(self).took += 1
        time.sleep(self.waits)


UNHEARD = {
    "stream, at once": (0.0, True, 2, None),
    "whole, at once": (0.0, False, 2, most),
    "whole, after a while": (STALE_SECONDS + 0.1, False, 1, most),
}


@pytest.mark.parametrize(("waits", "stream", "took", "cost"), UNHEARD.values(), ids=UNHEARD)
def test_a_call_that_is_not_answered_may_have_been_worked_on(
    tmp_path: Path, waits: float, stream: bool, took: int, cost: Callable[[dict[str, Any]], int] | None
) -> None:
    deaf = type("Deaf", (Deaf,), {"waits": waits})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), deaf) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub = Hub(tmp_path, f"http://127.0.0.1:{server.server_address[1]}")
        try:
            hub.open(spec())
            request, asked, slow = ask(stream=stream), 0, True
            # On a machine that lets a hub wait for a second, "at once" looks as if the call had been worked on.
            while slow:
                before, began, asked = deaf.took, time.monotonic(), asked + 1  # type: ignore[attr-defined]
                answer = hub.post(request)
                slow = took > 1 and time.monotonic() - began > STALE_SECONDS and asked < 10
            assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")
            assert "took the call and did not answer" in answer.text
            call = hub.settled(asked)[-1]
            assert (call["outcome"], micros(call["costUsd"])) == ("fault", cost(request) if cost else 0)
            assert deaf.took - before == took  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            hub.stop(signal.SIGKILL)


def test_the_figures_are_found_wherever_an_answer_breaks_off() -> None:
    """What the model wrote may look like figures: in a text, or as the input of a tool."""
    lie = {"input_tokens": 0, "output_tokens": 0}
    text = json.dumps({"usage": lie, "content": '"usage": {'})
    content = [
        {"type": "text", "text": text + "\\"},
        {"type": "tool_use", "input": {"usage": lie, "more": [{"usage": lie}]}},
    ]
    usage = {"input_tokens": 7, "output_tokens": 3}
    asked = params.Asked("m", False, 1000, 500)
    body = json.dumps({"content": content, "note": "usage", "usage": usage, "more": 1}).encode()
    told = body.rindex(b"}, ") + 1
    for end in range(len(body) + 1):
        wanted = prices.Tokens(input=7, output=3) if end >= told else prices.Tokens(cache_write_1h=1000, output=500)
        assert tap.of_message(body[:end], asked) == [wanted], body[:end]


def test_no_key_no_call(provider: Provider, tmp_path: Path) -> None:
    hub = Hub(tmp_path, provider.url)
    try:
        hub.open(spec())
        hub.key_file.unlink()
        answer = hub.post(ask())
        assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
    finally:
        hub.stop(signal.SIGKILL)
