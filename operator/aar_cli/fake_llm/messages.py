"""From a turn to a message, and from a message to the events of its stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aar_cli.fake_llm import counting, play
from aar_cli.fake_llm.errors import Wrong
from aar_cli.fake_llm.play import Block, Body, Place
from aar_cli.fake_llm.script import Category, Script, Turn

Message = dict[str, Any]
Event = dict[str, Any]
PIECE = 64
"""Characters of one delta; small, so that a reader has to put pieces together."""


def answer(script: Script, here: Place, body: Body) -> Message:
    """The message of the turn at a place.

    Raises:
        Wrong: the script cannot be played on this request.
    """
    turn = play.turn_at(script, here)
    content = _content(script, turn, here, body)
    calls = any(one["type"] == "tool_use" for one in content)
    freed, edits = counting.clearing(body)
    used = counting.usage(body, freed, turn.input_tokens)
    message = _message(body, content, turn.stop or ("tool_use" if calls else "end_turn"))
    message["usage"] = used.dump(max(1, counting.tokens(content)))
    if body.get("context_management") is not None:
        message["context_management"] = {"applied_edits": edits}
    return message


def refusal(body: Body, category: Category) -> Message:
    """A classifier stepped in."""
    message = _message(body, [], "refusal")
    message["stop_details"] = {"type": "refusal", "category": category, "explanation": "Refused by the script."}
    return message


def empty(body: Body) -> Message:
    """A turn in which the model says nothing."""
    return _message(body, [], "end_turn")


def compaction(script: Script, here: Place, body: Body, *, fails: bool) -> Message:
    """The one signed block that stands for the history from now on; without a summary if it fails."""
    text = None if fails else here.note(script)
    block: Block = {"type": "compaction", "content": text, "encrypted_content": None, "tool_changes": []}
    block["signature"] = None if text is None else play.sign("compaction", text)
    message = _message(body, [block], "compaction")
    used = counting.usage(body).dump(counting.tokens(text))
    kept = {key: used[key] for key in used if key != "service_tier"}
    message["usage"] = counting.Usage(0, 0, 0, False).dump(0) | {"iterations": [{"type": "compaction", **kept}]}
    return message


def events(message: Message) -> Iterator[Event]:
    """The stream that puts a message together."""
    start = message | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    start["usage"] = {**message["usage"], "output_tokens": min(1, message["usage"]["output_tokens"])}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        begun, deltas = _pieces(block)
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    last = {"type": "message_delta", "delta": delta, "usage": message["usage"]}
    if "context_management" in message:
        last["context_management"] = message["context_management"]
    yield last
    yield {"type": "message_stop"}


def _pieces(block: Block) -> tuple[Block, list[Block]]:
    kind = block["type"]
    if kind == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in _cut(block["text"])]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": part} for part in _cut(block["thinking"])]
        return {**block, "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if kind == "compaction":
        delta = {"type": "compaction_delta", "content": block["content"], "encrypted_content": None}
        return {**block, "content": None}, [delta]
    parts = _cut(json.dumps(block["input"], ensure_ascii=False))
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


def _cut(text: str) -> list[str]:
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)]


def _message(body: Body, content: list[Block], stop: str) -> Message:
    return {
        "id": f"msg_{_digest(body, 'message')}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": None,
        "usage": counting.usage(body).dump(1),
    }


def _content(script: Script, turn: Turn, here: Place, body: Body) -> list[Block]:
    thinking = body.get("thinking") or {}
    content: list[Block] = []
    if turn.think and thinking.get("type") in ("adaptive", "enabled"):
        text = turn.think if thinking.get("display") == "summarized" else ""
        content.append({"type": "thinking", "thinking": text, "signature": play.sign("thinking", text)})
    if turn.say:
        content.append({"type": "text", "text": turn.say})
    try:
        calls = play.inputs(script, turn, here)
    except KeyError as error:
        raise Wrong(400, f"script: turn {here.turn} names the value {error}, which no earlier result gave") from None
    tools = {tool["name"]: tool for tool in body.get("tools") or ()}
    for number, (call, given) in enumerate(calls):
        _check_call(call.tool, given, tools, here.turn)
        name = f"toolu_{_digest(body, str(number))}"
        content.append({"type": "tool_use", "id": name, "name": call.tool, "input": given})
    return content


def _check_call(name: str, given: dict[str, Any], tools: dict[str, Any], turn: int) -> None:
    """A strict tool is only ever called as its schema says; a script that does otherwise plays no model."""
    if name not in tools:
        raise Wrong(400, f"script: turn {turn} calls {name!r}, but the request offers {', '.join(sorted(tools))}")
    schema = tools[name]["input_schema"]
    missing = set(schema.get("required", ())) - given.keys()
    unknown = given.keys() - set(schema.get("properties", ()))
    if tools[name].get("strict") and (missing or unknown):
        raise Wrong(
            400, f"script: turn {turn} calls {name!r} without {sorted(missing)} and with unknown {sorted(unknown)}"
        )


def _digest(body: Body, salt: str) -> str:
    return play.sign(salt, json.dumps([body.get("system"), body["messages"]], sort_keys=True))[:24]
