"""Tokens of a request, by the rule of thumb of four characters each; what of them a cache would have had."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aar_cli.fake_llm.play import Body, blocks_of

CHARS = 4
SHORTEST_CACHED = 512
"""A shorter prefix is not cached."""
PLACEHOLDER = 8
"""Tokens that stay of a tool result that was cleared."""


@dataclass(frozen=True)
class Usage:
    """What a call is billed by."""

    fresh: int
    read: int
    written: int
    hour: bool

    @property
    def total(self) -> int:
        """Tokens of the whole prompt."""
        return self.fresh + self.read + self.written

    def dump(self, output: int) -> dict[str, Any]:
        """As the protocol has it."""
        five, hour = (0, self.written) if self.hour else (self.written, 0)
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.written,
            "cache_read_input_tokens": self.read,
            "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
            "output_tokens": output,
            "service_tier": "standard",
        }


def tokens(value: Any) -> int:
    """Tokens of any JSON."""
    return -(-len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) // CHARS)


def prompt(body: Body) -> int:
    """Tokens of everything a model reads."""
    return tokens([body.get("tools") or [], body.get("system") or "", body["messages"]])


def usage(body: Body, cleared: int = 0, declared: int | None = None) -> Usage:
    """Fresh, read and written tokens: with a breakpoint, what an earlier call had is read and the rest is written."""
    whole = prompt(body) - cleared if declared is None else declared
    mark = body.get("cache_control")
    if mark is None or whole < SHORTEST_CACHED:
        return Usage(whole, 0, 0, False)
    answers = [i for i, message in enumerate(body["messages"]) if message["role"] == "assistant"]
    new = tokens(body["messages"][answers[-1] :]) if answers else whole
    written = min(new, whole)
    return Usage(0, whole - written, written, mark.get("ttl") == "1h")


def clearing(body: Body) -> tuple[int, list[dict[str, Any]]]:
    """Tokens that the request's own rule for old tool results frees, and the report of it."""
    for edit in (body.get("context_management") or {}).get("edits", ()):
        if edit["type"] != "clear_tool_uses_20250919":
            continue
        size = prompt(body)
        if size <= edit.get("trigger", {}).get("value", 100_000):
            continue
        found = _clearable(body, set(edit.get("exclude_tools") or ()))
        keep = edit.get("keep", {}).get("value", 3)
        going = found[:-keep] if keep else found
        freed = sum(max(0, one - PLACEHOLDER) for one in going)
        if going and freed >= (edit.get("clear_at_least") or {}).get("value", 0):
            report = {"type": edit["type"], "cleared_tool_uses": len(going), "cleared_input_tokens": freed}
            return freed, [report]
    return 0, []


def _clearable(body: Body, excluded: set[str]) -> list[int]:
    """Sizes of the tool results that may go, oldest first."""
    spared: set[str] = set()
    sizes = []
    for message in body["messages"]:
        for one in blocks_of(message):
            if one["type"] == "tool_use" and one["name"] in excluded:
                spared.add(one["id"])
            if one["type"] == "tool_result" and one["tool_use_id"] not in spared:
                sizes.append(tokens(one.get("content") or ""))
    return sizes
