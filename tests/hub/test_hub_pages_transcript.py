"""Transcripts and LLM calls in the pages of a hub process before a provider's double."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from aar_hub.pages import render
from aar_hub.pages.unfold import message, unfold
from hub.gatewayworld import KEY, MODEL, Hub, ask, spec
from hub.pagesworld import BIDI, IMAGE, SCRIPT
from hub.provider import Provider

LINES = 120
LONG = f"{SCRIPT} {IMAGE} {BIDI}\n" * 20
ODD = [
    "no JSON <b>at all</b>",
    "[" * 5000,
    json.dumps({"n": 2, "kind": "message", "text": f"the key is {KEY}"}),
    "event: nonsense\ndata: {}",
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """r0 has posted a transcript and made three calls, one of them a stream that tells the key in pieces."""
    provider = Provider()
    started = Hub(tmp_path_factory.mktemp("pages"), provider.url)
    assert started.open(spec() | {"researchers": {"kind": "claude", "model": MODEL, "count": 2}}).status_code == 204
    told = [
        *ODD,
        *(json.dumps({"n": n, "kind": "answer", "content": [{"type": "text", "text": LONG}]}) for n in range(4, LINES)),
    ]
    assert started.post({"first": 0, "lines": told}, "/v1/transcript").is_success
    plan = {"usage": {"input_tokens": 123, "output_tokens": 45, "cache_read_input_tokens": 678}, "words": [LONG]}
    assert started.post(ask(plan)).status_code == 200
    assert started.post(ask({"words": ["It is ", KEY[:9], KEY[9:], "."]}) | {"stream": True}).status_code == 200
    assert started.post(ask({"status": 400})).status_code == 400
    started.settled(3)
    yield started
    started.stop(signal.SIGKILL)
    provider.stop()


def page(hub: Hub, address: str, status: int = 200) -> str:
    answer = hub.control.get(address)
    assert answer.status_code == status, answer.text
    return answer.text


def escaped(text: str) -> str:
    return render.ENVIRONMENT.from_string("{{ text }}").render(text=render.plain(text))


SHOWN: dict[str, tuple[str, list[str], list[str]]] = {
    "the newest": ("/researchers/r0/transcript", ["120 lines, 3 metered calls", "71 to 120 of 120", 'id="line-119"', "checked by nobody"], ['id="line-69"']),
    "from the start": ("/researchers/r0/transcript?from=0", ["1 to 50 of 120", 'id="line-0"', "from=50"], ['id="line-50"']),
    "from a number": ("/researchers/r0/transcript?from=100", ["101 to 120 of 120", "?from=50"], ['id="line-99"', ">Later<"]),
    "beyond the end": ("/researchers/r0/transcript?from=500&calls=9", ["none of 120", "None here"], ['id="line-']),
    "calls": ("/researchers/r0/transcript", [">123<", ">45<", ">678<", MODEL, "answered", "refused", 'href="/llm/calls/2"'], []),
    "a long text stands apart": ("/researchers/r0/transcript", ["<summary>Text 1: <code>content[0].text</code>", "[text 1: "], []),
    "no calls yet": ("/researchers/r1/transcript", ["0 lines, 0 metered calls"], [">Newest<"]),
    "the link": ("/researchers/r0", ['href="/researchers/r0/transcript"'], []),
    "a call": ("/llm/calls/1", [">123<", "Request", "Answer", "max_tokens", "content[0].text", "checked by nobody"], ["data-live"]),
    "a stream is the message it adds up to": ("/llm/calls/2", ["It is [key].", "stop_reason"], ["content_block_delta"]),
    "a refused call": ("/llm/calls/3", ["the provider answered 400"], []),
    "spend": ("/spend", [">r0<"], [">r1<"]),
}  # fmt: skip


@pytest.mark.parametrize(("address", "wanted", "absent"), SHOWN.values(), ids=SHOWN)
def test_a_page_shows(hub: Hub, address: str, wanted: list[str], absent: list[str]) -> None:
    text = page(hub, address)
    assert [one for one in wanted if one not in text] == []
    assert [one for one in absent if one in text] == []


@pytest.mark.parametrize("address", ["/researchers/r0/transcript", "/researchers/r0/transcript?from=0", "/llm/calls/1", "/llm/calls/2"])  # fmt: skip
def test_what_was_said_is_inert_and_tells_no_key(hub: Hub, address: str) -> None:
    text = page(hub, address)
    assert text.count("<script") == 1
    assert '<img src="http' not in text
    assert "\u202e" not in text
    assert "<b>at all" not in text
    assert KEY not in text
    assert address.endswith("2") or escaped(LONG)[:200] in text


def test_money_of_calls_is_their_researchers(hub: Hub) -> None:
    cost = hub.spend()["llmUSD"]
    found = re.findall(r"<tr><td>r0</td>.*?<td class=\"number\">([\d.]+)</td>", page(hub, "/spend"))
    assert found == [cost]
    assert f"metered calls, {cost} USD" in page(hub, "/researchers/r0/transcript")


MISSING: dict[str, tuple[str, str]] = {
    "researcher": ("/researchers/r7/transcript", "No researcher is called &#39;r7&#39;: the campaign has r0 to r1."),
    "from": ("/researchers/r0/transcript?from=-1", "from is &#39;-1&#39;, but it is a number from 0 on"),
    "calls": ("/researchers/r0/transcript?calls=x", "calls is &#39;x&#39;"),
    "call": ("/llm/calls/99", "No LLM call has the number 99"),
    "no number": ("/llm/calls/first", "The number of a call is &#39;first&#39;"),
    "too long a number": ("/llm/calls/" + "9" * 30, "it is a number"),
}


@pytest.mark.parametrize(("address", "sentence"), MISSING.values(), ids=MISSING)
def test_what_is_not_there_is_a_page_with_a_sentence(hub: Hub, address: str, sentence: str) -> None:
    assert sentence in page(hub, address, 404)


UNFOLDED: dict[str, tuple[Any, str, list[tuple[str, str]]]] = {
    "short": ('{"a": "b"}', '{\n  "a": "b"\n}', []),
    "long": (json.dumps({"a": [{"b": "x" * 500}]}), '"b": "[text 1: 500 characters, below]"', [("a[0].b", "x" * 500)]),
    "no JSON": ("words", "words", []),
    "no room": (json.dumps(["x" * 2000, "y" * 500]), "[500 characters, not shown]", [("[0]", "x" * 1000)]),
    "a secret": (json.dumps("a secret " + "z" * 500), "below", [("", "a [key] " + "z" * 500)]),
}


@pytest.mark.parametrize(("said", "body", "texts"), UNFOLDED.values(), ids=UNFOLDED)
def test_unfold(said: str, body: str, texts: list[tuple[str, str]]) -> None:
    found = unfold(said, 1000, lambda text: text.replace("secret", "[key]"))
    assert body in found.body
    assert [(one.place, one.text) for one in found.texts] == texts


def test_a_tools_input_is_put_together() -> None:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"a":', "1}")]
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m"}}]
    events += [{"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "input": {}}}]
    events += [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    stream = "".join(f"event: x\ndata: {json.dumps(event)}\n\n" for event in events)
    assert message(stream) == {"id": "m", "content": [{"type": "tool_use", "input": '{"a":1}'}]}
