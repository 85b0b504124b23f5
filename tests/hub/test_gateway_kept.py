"""Records are whole when they are read, and small where they lie."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aar_hub.gateway import kept
from aar_hub.gateway.kept import BLOCK, LONGEST, Kept
from aar_hub.store.blobs import BlobMissing, Blobs
from hub.gatewayworld import Hub, ask, compact, spec
from hub.provider import Provider

TURNS = 400
TOOLS = [{"name": f"tool{i}", "description": "Words about a tool. " * 40, "input_schema": {}} for i in range(12)]


def words(rng: random.Random, count: int) -> str:
    return " ".join(f"{rng.randrange(10**6)}" for _ in range(count))


def request(messages: list[Any]) -> bytes:
    """As the SDK writes it: what does not change stands on both sides of what grows."""
    return json.dumps(
        {"max_tokens": 1000, "messages": messages, "model": "m", "system": "s" * 9000, "tools": TOOLS}
    ).encode()


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_long_conversation_takes_little_more_than_its_words(tmp_path: Path) -> None:
    rng, blobs = random.Random(0), Blobs(str(tmp_path))
    keeper, messages, plain, addresses = Kept(blobs), list[Any](), 0, list[tuple[str, bytes]]()
    for turn in range(TURNS):
        if turn == 300:
            messages = [{"role": "assistant", "content": "a summary of " + words(rng, 50)}]
        messages.append({"role": "user" if turn % 2 else "assistant", "content": words(rng, 150)})
        body = request(messages)
        plain += len(body)
        addresses.append((keeper.keep("r0", body, b"answer %d" % turn), body))
    assert plain > 50 * 2**20
    assert size(tmp_path) < plain / 25
    for turn in (0, 1, LONGEST - 1, LONGEST, 299, 300, 301, *rng.sample(range(TURNS), 20), TURNS - 1):
        address, body = addresses[turn]
        assert kept.read(blobs, address) == (body, b"answer %d" % turn)


def edits(rng: random.Random, body: bytes) -> bytes:
    """A request somehow like the one before it."""
    at, end = sorted((rng.randrange(len(body) + 1), rng.randrange(len(body) + 1)))
    fresh = rng.randbytes(rng.choice([0, 1, 100, BLOCK, 3 * BLOCK]))
    return rng.choice(
        [body, body[:at] + fresh + body[at:], body[:at] + body[end:], fresh, body + fresh, fresh + body, body * 2]
    )[:50_000]


@pytest.mark.parametrize("seed", range(8))
def test_any_request_is_read_as_it_was(tmp_path: Path, seed: int) -> None:
    rng, blobs = random.Random(seed), Blobs(str(tmp_path))
    keeper, told = Kept(blobs), list[tuple[str, bytes, bytes]]()
    bodies = {"r0": b"x" * 3 * BLOCK, "r1": rng.randbytes(20_000)}
    for _ in range(150):
        who = rng.choice(list(bodies))
        bodies[who] = edits(rng, bodies[who])
        answer = rng.choice([b"", b"\xff\n", rng.randbytes(300)])
        told.append((keeper.keep(who, bodies[who], answer), bodies[who], answer))
    assert all(kept.read(blobs, address) == (body, answer) for address, body, answer in told)


def test_a_record_whose_base_is_gone_says_so(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    keeper, body = Kept(blobs), random.Random(0).randbytes(20 * BLOCK)
    first, second = keeper.keep("r0", body, b"a"), keeper.keep("r0", body + b"more", b"b")
    assert size(tmp_path) < 25 * BLOCK, "the second builds on the first"
    next(tmp_path.glob(f"*/{first.removeprefix('sha256:')}")).unlink()
    with pytest.raises(BlobMissing):
        kept.read(blobs, second)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    provider = Provider()
    started = Hub(tmp_path, provider.url)
    assert started.open(spec()).status_code == 204
    yield started
    started.stop(signal.SIGKILL)
    provider.stop()


def test_records_of_calls_outlive_the_hub(hub: Hub) -> None:
    """The memory of what was said last does not: after a start the first record stands by itself."""
    rng, bodies = random.Random(0), list[bytes]()
    talk = ask()
    for turn in range(12):
        talk["messages"] = [*talk["messages"], {"role": "user", "content": words(rng, 1500)}]
        bodies.append(compact(talk))
        assert hub.post(bodies[-1], token=hub.token("researcher", f"r{turn % 2}")).status_code == 200
        if turn == 6:
            hub.settled(turn + 1)
            hub.stop(signal.SIGKILL)
            hub.start()
    for call, body in zip(hub.settled(12), bodies, strict=True):
        record = hub.ask("GET", f"/v1/operator/llm/calls/{call['number']}").json()
        assert record["request"].encode() == body
        assert json.loads(record["answer"])["type"] == "message"
    assert hub.control.get("/llm/calls/12").text.count("Request") >= 1
