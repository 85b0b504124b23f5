"""What a call may ask for: only what the meter can bound before it is passed on. What is not on these lists is refused.

The body goes out byte for byte, so nothing may be read in two ways: no key twice, no key that differs in case only, nothing but UTF-8 JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aar_hub.gateway.errors import BadCall

PASSED = frozenset((
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "metadata",
    "stop_sequences", "stream", "context_management", "compaction", "diagnostics", "temperature", "top_p", "top_k",
))  # fmt: skip
ONLY = {"service_tier": "standard_only", "speed": "standard"}
"""Other service tiers and fast mode have prices of their own."""
REASONS = {
    "mcp_servers": "the provider would call servers outside the sandbox",
    "container": "the provider would run code outside the sandbox, at its own price",
    "fallbacks": "another model would answer, at another price",
    "inference_geo": "it multiplies the price",
    "thread": "the provider would hold the history, where nobody can audit it",
    "billing_policy": "who pays is the campaign's to say",
    "user_profile_id": "who pays is the campaign's to say",
    "workspace_id": "who pays is the campaign's to say",
}
THREADS = "thread_unsupported_request"
"""Error code on which clients send the whole history instead of a thread."""
CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "memory_")
"""Types of tools that run in the sandbox; the provider runs the others, at a price of their own or on the open network."""
EDITS = ("clear_tool_uses_", "clear_thinking_")
"""Edits that only shorten the prompt; a `compact_` edit adds a run of unknown length."""
BLOCKS = frozenset((
    "text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "redacted_thinking", "compaction",
))  # fmt: skip
SOURCES = {"image": ("base64",), "document": ("text", "content")}
"""Where content may come from. A URL would have the provider fetch it for a sandbox without network; a file is the workspace's; a PDF
packs more tokens than bytes."""

IMAGE_TOKENS = 5_000
"""Of one image: the provider scales to at most 4,784 tokens, however small the file."""
TOOL_TOKENS = 1_024
"""Of a typed tool's definition, which the provider writes out: at most 735 in its tables."""
HIDDEN_TOKENS = 2_048
"""Of what the provider adds by itself: the system prompt for tools (at most 804 in its tables), for formats, for summaries."""
MAX_OUTPUT = 1_000_000
"""More than any model writes."""


@dataclass(frozen=True)
class Asked:
    """What of a call matters to the meter."""

    model: str
    stream: bool
    prompt: int
    """Most tokens that the prompt can have: a token is at least one byte of the body, but for what is counted apart."""
    output: int
    """Most tokens that the answer can have; 0 when tokens are only counted."""


def read(body: bytes, *, counting: bool) -> Asked:
    """The call that a body asks for.

    Raises:
        BadCall: it is no JSON object, breaks a rule, or asks for something that costs outside the meter.
    """
    given = _parse(body)
    for name, value in given.items():
        _check_parameter(name, value)
    model, stream = given.get("model"), given.get("stream", False)
    if not isinstance(model, str) or not isinstance(stream, bool):
        raise BadCall(
            f"model is {model!r} and stream {stream!r}, but they must be a string and a boolean: correct them."
        )
    typed = sum(1 for tool in _list(given, "tools") if _check_tool(tool) != "custom")
    _check_edits(given.get("context_management"))
    images = sum(1 for block in _blocks(given) if _check_block(block) == "image")
    prompt = len(body) + images * IMAGE_TOKENS + typed * TOOL_TOKENS + HIDDEN_TOKENS
    return Asked(model, stream, prompt, 0 if counting else _max_tokens(given.get("max_tokens")))


def _parse(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadCall(f"The body is not JSON in UTF-8 ({error}): send a JSON object.") from error
    if not isinstance(given, dict):
        raise BadCall("The body is JSON but no object: send an object with model, max_tokens and messages.")
    return given


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadCall(
            f"The key {twice[:80]!r} stands twice in one object, which can be read in two ways: leave one out."
        )
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _check_parameter(name: str, value: Any) -> None:
    if name in PASSED:
        return
    if name in ONLY:
        if value == ONLY[name]:
            return
        raise BadCall(f"{name} is {value!r}, which has a price of its own: leave it out, or use {ONLY[name]!r}.")
    reason = REASONS.get(name, "the meter does not know what it costs")
    details = {"error_code": THREADS} if name == "thread" else {}
    raise BadCall(f"The parameter {name[:80]!r} is not passed on, since {reason}: leave it out.", **details)


def _check_tool(tool: Any) -> str:
    kind = tool.get("type", "custom") if isinstance(tool, dict) else None
    if not isinstance(kind, str) or not kind.startswith(CLIENT_TOOLS):
        raise BadCall(
            f"A tool has the type {kind!r}, but only tools that run in the sandbox are passed on: use a custom one, "
            f"or a type that begins with {', '.join(CLIENT_TOOLS[1:])}."
        )
    return kind


def _check_edits(management: Any) -> None:
    for edit in _list(management or {}, "edits"):
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or not kind.startswith(EDITS):
            raise BadCall(
                f"context_management has an edit of type {kind!r}, whose cost has no bound known in advance: "
                "use clear_tool_uses or clear_thinking, and `compaction` on demand."
            )


def _blocks(given: dict[str, Any]) -> Iterator[Any]:
    """Every content block of the prompt, also those within blocks."""
    waiting = [given.get("system")]
    waiting += [message.get("content") if isinstance(message, dict) else None for message in _list(given, "messages")]
    while waiting:
        content = waiting.pop()
        if isinstance(content, list):
            for block in content:
                yield block
                source = block.get("source") if isinstance(block, dict) else None
                waiting += [block.get("content")] if isinstance(block, dict) else []
                waiting += [source.get("content")] if isinstance(source, dict) else []


def _check_block(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in BLOCKS:
        raise BadCall(
            f"A content block has the type {kind!r}, which is not passed on: use one of {', '.join(sorted(BLOCKS))}."
        )
    allowed = SOURCES.get(kind)
    source = block.get("source")
    origin = source.get("type") if isinstance(source, dict) else None
    if allowed is not None and origin not in allowed:
        raise BadCall(
            f"The source of a block of type {kind!r} is {origin!r}, but the provider may fetch nothing for a sandbox and the "
            f"meter must know its size: use {' or '.join(allowed)}."
        )
    return str(kind)


def _max_tokens(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_OUTPUT:
        raise BadCall(f"max_tokens is {value!r}, but it must be a whole number from 0 to {MAX_OUTPUT}: set it.")
    return value


def _list(given: Any, name: str) -> list[Any]:
    value = (given.get(name) if isinstance(given, dict) else given) or []
    if not isinstance(value, list):
        raise BadCall(f"{name} is a {type(value).__name__}, but must be a list: correct it.")
    return value
