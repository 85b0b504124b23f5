"""What the provider refuses: headers, fields, pairing of tool calls and results, altered blocks, schemas no strict tool may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aar_cli.fake_llm.errors import Wrong
from aar_cli.fake_llm.play import Block, Body, blocks_of, sign

VERSIONS = ("2023-06-01", "2026-10-21")
FIELDS = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "metadata",
    "service_tier", "speed", "stream", "stop_sequences", "diagnostics", "context_management", "compaction",
}  # fmt: skip
NEEDS_BETA = {"context_management": "context-management-2025-06-27", "compaction": "compact-2026-09-04"}
BLOCKS = {
    "user": {"text", "tool_result", "image", "document"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use", "compaction"},
    "system": {"text"},
}
NOT_STRICT = {
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "patternProperties",
}
"""Keywords that a strict tool's schema may not have: the grammar that enforces it cannot count."""
MOST_STRICT_TOOLS, MOST_OPTIONAL = 20, 24
MOST_BREAKPOINTS = 4


def headers(given: Mapping[str, str]) -> None:
    """Who calls, and in which version of the protocol."""
    scheme, _, token = given.get("authorization", "").partition(" ")
    if not given.get("x-api-key") and (scheme.lower() != "bearer" or not token):
        raise Wrong(401, "authorization: a key is needed, as `Authorization: Bearer` or as x-api-key")
    if given.get("anthropic-version") not in VERSIONS:
        raise Wrong(400, f"anthropic-version: {given.get('anthropic-version')!r} is none of {', '.join(VERSIONS)}")


def request(body: Any, betas: set[str], *, counting: bool = False) -> None:
    """A whole request of messages, or one that asks only for its size."""
    if not isinstance(body, dict):
        raise Wrong(400, "The body must be a JSON object")
    for name in ("model", "messages", *(() if counting else ("max_tokens",))):
        if name not in body:
            raise Wrong(400, f"{name}: Field required")
    if "thread" in body:
        raise Wrong(400, "thread: not served here", "thread_unsupported_request")
    for name in body.keys() - FIELDS:
        raise Wrong(400, f"{name}: Extra inputs are not permitted")
    for name, beta in NEEDS_BETA.items():
        if name in body and beta not in betas:
            raise Wrong(400, f"{name}: Extra inputs are not permitted without the beta {beta}")
    if not counting and (not isinstance(body["max_tokens"], int) or body["max_tokens"] < 0):
        raise Wrong(400, "max_tokens: must be a number from 0")
    edits = (body.get("context_management") or {}).get("edits", ())
    if "compaction" in body and edits:
        raise Wrong(400, "compaction: cannot be combined with context_management")
    _breakpoints(body)
    _tools(body.get("tools") or ())
    _messages(body["messages"])


def _messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Wrong(400, "messages: at least one message is required")
    waiting: set[str] = set()
    seen: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        role = message.get("role")
        if role not in BLOCKS:
            raise Wrong(400, f"{where}.role: {role!r} is none of {', '.join(BLOCKS)}")
        blocks = blocks_of(message)
        if not blocks:
            raise Wrong(400, f"{where}: all messages must have non-empty content")
        for one in blocks:
            _block(one, role, where)
        if index == 0 and role == "assistant" and blocks[0]["type"] != "compaction":
            raise Wrong(400, "messages.0: the first message must be the user's")
        waiting = _pairing(blocks, role, waiting, seen, where)
    if waiting:
        raise Wrong(
            400, f"messages: `tool_use` ids were found without `tool_result` blocks: {', '.join(sorted(waiting))}"
        )
    last = messages[-1]
    if last["role"] == "assistant" and blocks_of(last)[0]["type"] != "compaction":
        raise Wrong(400, "messages: the conversation must end with a user message; prefill is not supported")


def _block(one: Block, role: str, where: str) -> None:
    kind = one.get("type")
    if kind not in BLOCKS[role]:
        raise Wrong(400, f"{where}.content: a {kind!r} block cannot stand in a message of {role}")
    if kind == "text" and not one.get("text"):
        raise Wrong(400, f"{where}.content: text content blocks must be non-empty")
    if kind == "thinking" and one.get("signature") != sign("thinking", one.get("thinking", "")):
        raise Wrong(400, f"{where}.content: Invalid `signature` in `thinking` block")
    if kind == "compaction" and one.get("content") and one.get("signature") != sign("compaction", one["content"]):
        raise Wrong(400, f"{where}.content: Invalid `signature` in `compaction` block")
    if kind == "tool_use" and not isinstance(one.get("input"), dict):
        raise Wrong(400, f"{where}.content: tool_use.input: must be an object")


def _pairing(blocks: list[Block], role: str, waiting: set[str], seen: set[str], where: str) -> set[str]:
    """Ids still without a result after a message."""
    kinds = [one["type"] for one in blocks]
    answered = [one["tool_use_id"] for one in blocks if one["type"] == "tool_result"]
    if waiting and (role != "user" or set(answered) != waiting):
        missing = ", ".join(sorted(waiting - set(answered))) or "none missing"
        raise Wrong(
            400, f"{where}: `tool_use` ids must be answered in the next message; without `tool_result`: {missing}"
        )
    if len(answered) != len(set(answered)) or set(answered) - waiting:
        raise Wrong(400, f"{where}: unexpected `tool_use_id` in `tool_result` blocks: {', '.join(answered)}")
    if answered and "tool_result" in kinds[len(answered) :]:
        raise Wrong(400, f"{where}: `tool_result` blocks must come first")
    asked = [one["id"] for one in blocks if one["type"] == "tool_use"]
    if len(asked) != len(set(asked)) or seen & set(asked):
        raise Wrong(400, f"{where}: `tool_use` ids must be unique")
    seen |= set(asked)
    return set(asked)


def _breakpoints(body: Body) -> None:
    count = int(body.get("cache_control") is not None)
    places = [*(body.get("tools") or ()), *(body["system"] if isinstance(body.get("system"), list) else ())]
    for message in body["messages"] if isinstance(body["messages"], list) else ():
        places += blocks_of(message)
    count += sum(one.get("cache_control") is not None for one in places)
    if count > MOST_BREAKPOINTS:
        raise Wrong(400, f"cache_control: at most {MOST_BREAKPOINTS} breakpoints, but {count} are set")


def _tools(tools: Any) -> None:
    names = [tool.get("name") for tool in tools]
    if len(names) != len(set(names)):
        raise Wrong(400, "tools: Tool names must be unique")
    strict = [tool for tool in tools if tool.get("strict")]
    if len(strict) > MOST_STRICT_TOOLS:
        raise Wrong(400, f"tools: at most {MOST_STRICT_TOOLS} strict tools, but there are {len(strict)}")
    optional = sum(_strict(tool["input_schema"], f"tools.{tool['name']}") for tool in strict)
    if optional > MOST_OPTIONAL:
        raise Wrong(400, f"tools: strict tools may have {MOST_OPTIONAL} optional parameters, but have {optional}")


def _strict(schema: Any, where: str) -> int:
    """Optional parameters of a schema that a strict tool may have."""
    if isinstance(schema, list):
        return sum(_strict(one, where) for one in schema)
    if not isinstance(schema, dict):
        return 0
    for word in NOT_STRICT & schema.keys():
        raise Wrong(400, f"{where}: the keyword {word!r} is not supported in a strict schema")
    optional = 0
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Wrong(400, f"{where}: 'additionalProperties' must be false in a strict schema")
        optional = len(set(schema.get("properties", ())) - set(schema.get("required", ())))
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), schema.get("items")]
    return optional + _strict(inner, where)
