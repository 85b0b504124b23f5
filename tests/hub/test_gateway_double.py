"""`aar fake-llm` as the gateway's provider: a whole conversation with the real SDK, with faults and a summary, to the micro-dollar."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import anthropic
import genai_prices
import pytest
from hub.gatewayworld import KEY, MODEL, Hub, spec

SCRIPT = """
system: {who: 'You are (\\w+)'}
turns:
  - {think: First I look., say: I look., calls: [{tool: look, input: {at: '${who} %s'}}]}
  - {say: Again., calls: [{tool: look, input: {at: two}}], fault: {kind: status, status: 529, retry_after_ms: 1}}
  - {say: And again., calls: [{tool: look, input: {at: three}}], fault: {kind: error, after: 5}}
  - {say: Once more., calls: [{tool: look, input: {at: four}}], fault: {kind: cut, after: 5}}
  - say: That is all.
""".replace("%s", "long " * 200)
TOOL = {
    "name": "look", "description": "Look.", "strict": True,
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "additionalProperties": False},
}  # fmt: skip
LONG = "A long beginning. " * 300


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub before the double, which is a process of its own."""
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "aar_cli.main", "fake-llm", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as double:
        assert double.stdout is not None
        started = Hub(tmp_path / "hub", double.stdout.readline().split()[0])
        try:
            assert started.open(spec()).status_code == 204
            yield started
        finally:
            started.stop(signal.SIGKILL)
            double.terminate()


def micros(usage: dict[str, Any]) -> int:
    """What genai-prices itself says of the runs of an answer, rounded up once."""
    total = Decimal(0)
    for run in (usage, *(one for one in usage.get("iterations") or () if one["type"] == "compaction")):
        found = genai_prices.extract_usage({"model": MODEL, "usage": run}, provider_id="anthropic")
        total += found.calc_price(genai_request_timestamp=datetime.now(UTC)).total_price
    return int((total * 1_000_000).to_integral_value(rounding=ROUND_CEILING))


def ask(client: anthropic.Anthropic, messages: list[Any], **more: Any) -> Any:
    with client.beta.messages.stream(
        model=MODEL, max_tokens=2000, system=f"You are ann. {LONG}", tools=[TOOL], messages=messages,  # type: ignore[list-item]
        cache_control={"type": "ephemeral", "ttl": "1h"}, thinking={"type": "adaptive", "display": "summarized"}, **more,
    ) as stream:  # fmt: skip
        return stream.get_final_message()


def test_a_whole_conversation_costs_what_its_figures_say(hub: Hub) -> None:
    client, messages = hub.client(max_retries=2), [{"role": "user", "content": "Begin."}]
    bills, broken, said = list[int](), 0, list[str]()
    while not said or said[-1] != "That is all.":
        try:
            answer = ask(client, messages)
        except anthropic.APIStatusError:
            broken += 1
            continue
        bills.append(micros(answer.usage.to_dict()))
        said.append(next(block.text for block in answer.content if block.type == "text"))
        messages.append({"role": "assistant", "content": [block.to_dict() for block in answer.content]})
        calls = [block.id for block in answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": one, "content": "seen"} for one in calls]
        messages += [{"role": "user", "content": results}] if results else []
    summary = ask(
        client,
        [*messages, {"role": "user", "content": "Go on."}],
        compaction={"type": "summarize", "instructions": "Briefly."},
        betas=["compact-2026-09-04"],
    )
    bills.append(micros(summary.usage.to_dict()))
    assert said == ["I look.", "Again.", "And again.", "Once more.", "That is all."]
    assert broken == 2
    calls_ = hub.settled(9)
    paid = {
        outcome: [one for one in calls_ if one["outcome"] == outcome] for outcome in ("answered", "broken", "refused")
    }
    assert [int(Decimal(one["costUsd"]) * 1_000_000) for one in paid["answered"]] == bills
    assert any(one["tokens"]["cache_read"] for one in paid["answered"])
    assert any(one["tokens"]["cache_write_1h"] for one in paid["answered"])
    assert [one["status"] for one in paid["refused"]] == [529]
    assert all(Decimal(one["costUsd"]) > 0 for one in paid["broken"])
    assert len(paid["broken"]) == 2
    assert Decimal(hub.spend()["llmUSD"]) == sum(Decimal(one["costUsd"]) for one in calls_)
    assert hub.spend()["reservedUSD"] == "0.00"
    records = [hub.ask("GET", f"/v1/operator/llm/calls/{one['number']}").text for one in calls_]
    assert not any(KEY in one for one in records)
