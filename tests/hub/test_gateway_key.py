"""The provider's key stays in the hub, whatever the provider says and however its answer is cut."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from aar_hub.gateway.secrets import Secrets
from aar_hub.gateway.veil import Veil
from hub.gatewayworld import KEY, Hub, ask
from hub.provider import Provider


def kept(hub: Hub) -> bytes:
    """Everything that the hub has written, with what is compressed made plain."""
    found = [path.read_bytes() for path in (hub.folder / "data").rglob("*") if path.is_file()]
    packed = [one for one in found if one[:1] == b"\x78"]
    return b"\n".join([*found, *map(zlib.decompress, packed), hub.log.read_bytes()])


def text_of(answer: bytes, *, stream: bool) -> str:
    """The text as a client puts it together."""
    if not stream:
        return str(json.loads(answer)["content"][0]["text"])
    events = [json.loads(line[5:]) for line in answer.splitlines() if line.startswith(b"data:")]
    return "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")


@pytest.mark.parametrize(("how", "stream"), [("pieces", False), ("pieces", True), ("events", True)])
def test_a_key_that_the_provider_tells_is_hidden_wherever_it_is_cut(
    hub: Hub, provider: Provider, how: str, stream: bool
) -> None:
    first = len(hub.calls())
    for at in range(len(KEY) + 1):
        answer = hub.post(ask({"echo": [how, at]}, stream=stream))
        assert answer.status_code == 200
        assert text_of(answer.content, stream=stream) == "The key [key] is yours.", at
        assert text_of(provider.told[-1], stream=stream) == f"The key {KEY} is yours."
        if how == "pieces":
            assert answer.content == provider.told[-1].replace(KEY.encode(), b"[key]"), "all else is byte for byte"
        else:
            assert answer.content.count(b"\n") == provider.told[-1].count(b"\n")
        assert (answer.headers["request-id"], answer.headers["anthropic-ratelimit-of"]) == ("for [key]", "[key]")
        assert KEY.lower() not in str(answer.headers).lower()
    calls = hub.settled(first + len(KEY) + 1)[first:]
    for call in calls:
        record = hub.ask("GET", f"/v1/operator/llm/calls/{call['number']}").json()
        assert text_of(record["answer"].encode(), stream=stream) == "The key [key] is yours."
        assert "[key]" in (page := hub.control.get(f"/llm/calls/{call['number']}").text)
        assert KEY not in page
    assert KEY.encode() not in kept(hub)
    assert {call["costUsd"] for call in calls} == {"0.0008"}, "what it costs is read as ever"


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(text: str, index: int = 0, name: str = "text") -> bytes:
    return event("content_block_delta", index=index, delta={"type": f"{name}_delta", name: text})


PING, STOP = event("ping"), event("content_block_stop", index=0)
OLD = "sk-old-key"
VEILED: dict[str, tuple[list[bytes], list[bytes]]] = {
    "nothing to hide": ([delta("a"), delta("s"), delta("sk"), STOP], [delta("a"), delta("s"), delta("sk"), STOP]),
    "a ping between": ([delta("a sk-"), PING, delta(KEY[3:]), STOP], [delta("a [key]"), PING, delta(""), STOP]),
    "one character an event": ([delta(one) for one in KEY + "!"], [delta("[key]"), *[delta("")] * (len(KEY) - 1), delta("!")]),
    "begun twice": ([delta("sk-P" + KEY[:4]), delta(KEY[4:])], [delta("sk-P[key]"), delta("")]),
    "twice in a row": ([delta(KEY[:9]), delta(KEY[9:] + KEY[:5]), delta(KEY[5:])], [delta("[key]"), delta("[key]"), delta("")]),
    "an earlier key": ([delta(OLD[:5]), delta(OLD[5:])], [delta("[key]"), delta("")]),
    "a tool's input": ([delta('{"a": "' + KEY[:7], 1, "partial_json"), delta(KEY[7:] + '"}', 1, "partial_json")], [delta('{"a": "[key]', 1, "partial_json"), delta('"}', 1, "partial_json")]),
    "in the block's beginning": (
        [event("content_block_start", index=0, content_block={"type": "text", "text": KEY[:8]}), delta(KEY[8:])],
        [event("content_block_start", index=0, content_block={"type": "text", "text": "[key]"}), delta("")],
    ),
    "texts of two blocks": ([delta(KEY[:9]), STOP, delta(KEY[9:], 1)], [delta(KEY[:9]), STOP, delta(KEY[9:], 1)]),
    "most of it, and the block ends": ([delta("a"), delta(KEY[:-1]), STOP], [delta("a"), delta("[key]"), STOP]),
    "most of it, and the stream ends": ([delta(KEY[:-1])], [delta("[key]")]),
    "escaped": ([rb'data: {"error": "\u0073\u006B' + KEY[2:].encode() + b'"}\n'], [b'data: {"error": "[key]"}\n']),
    "escaped and cut": ([delta(KEY[:3]).replace(b"sk", rb"\u0073k"), delta(KEY[3:])], [delta("[key]"), delta("")]),
    "lines that end otherwise": ([delta(KEY[:3]).replace(b"\n", b"\r\n"), delta(KEY[3:])], [delta("[key]").replace(b"\n", b"\r\n"), delta("")]),
    "broken off within a line": ([delta("a"), delta(KEY)[:-20]], [delta("a"), delta(KEY)[:-20].replace(KEY[:-14].encode(), b"[key]")]),
    "no event at all": ([b"You are " + KEY.encode()], [b"You are [key]"]),
    "no JSON": ([b"data: " + KEY.encode() + b"\n\n"], [b"data: [key]\n\n"]),
}  # fmt: skip


@pytest.mark.parametrize(("said", "shown"), VEILED.values(), ids=VEILED)
@pytest.mark.parametrize("cut", ["whole", "bytes", "anyhow"])
def test_veil(said: list[bytes], shown: list[bytes], cut: str) -> None:
    rng, whole = random.Random(cut), b"".join(said)
    veil, told = Veil(Secrets([KEY, OLD])), b""
    while whole:
        size = {"whole": len(whole), "bytes": 1}.get(cut, rng.randint(1, 40))
        told, whole = told + veil.feed(whole[:size]), whole[size:]
    assert told + veil.end() == b"".join(shown)


def test_what_may_be_no_key_waits_for_no_more_than_the_next_event() -> None:
    veil = Veil(Secrets([KEY]))
    assert veil.feed(delta("it says sk")) == b"event: content_block_delta\n"
    assert veil.feed(delta("y")) == delta("it says sk").partition(b"\n")[2] + delta("y")
    assert veil.feed(delta("word ")) == delta("word ")


HIDDEN: dict[str, tuple[list[str], bytes, bytes]] = {
    "none": ([], b"sk-provider", b"sk-provider"),
    "too short to be one": (["local"], b"a local model", b"a local model"),
    "the longer of two": (["sk-12345", "sk-1234567"], b"sk-1234567", b"[key]"),
    "a slash that JSON may escape": (["ab/cd/ef"], rb"ab\/cd/ef", b"[key]"),
    "another escape beside it": (["sk-12345"], rb"\u00e9 sk-12345", rb"\u00e9 [key]"),
    "signs of a pattern": (["sk.*+?^$()|"], b"sk.*+?^$()| sk123456789", b"[key] sk123456789"),
}


@pytest.mark.parametrize(("keys", "said", "shown"), HIDDEN.values(), ids=HIDDEN)
def test_hide(keys: list[str], said: bytes, shown: bytes) -> None:
    assert Secrets(keys).hide(said) == shown


@pytest.mark.parametrize(("end", "shown"), [(4, "sk-P"), (15, "[key]"), (28, "[key]")])
def test_an_answer_that_breaks_off_within_the_key(end: int, shown: str) -> None:
    assert Secrets([KEY]).hide_start(f"The key {KEY[:end]}".encode()) == f"The key {shown}".encode()
