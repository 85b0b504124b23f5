"""Where a conversation stands in its script, read from its history alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aar_cli.fake_llm.script import Call, Script, Turn, fill

Body = Mapping[str, Any]
Block = dict[str, Any]
FAREWELL = Turn(say="I have nothing more to do.")
_STATE = "\nstate: "


@dataclass(frozen=True)
class Place:
    """The turn to be played next, and what was learned on the way."""

    turn: int = 0
    repeats: int = 0
    played: int = 0
    values: Mapping[str, str] = field(default_factory=dict)

    def note(self, script: Script) -> str:
        """Itself as the text of a summary, so that a conversation goes on from it."""
        state = {"turn": self.turn, "repeats": self.repeats, "played": self.played, "values": dict(self.values)}
        return script.summary + _STATE + json.dumps(state, sort_keys=True)


def place(script: Script, body: Body) -> Place:
    """Follow the script through the history."""
    messages = body["messages"]
    here = _start(script, body)
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        blocks = blocks_of(message)
        if summary := next((one.get("content") for one in blocks if one["type"] == "compaction"), None):
            here = _resumed(summary, here)
            continue
        here = _after(script, here, blocks, _results(messages[index + 1 :]))
    return here


def turn_at(script: Script, here: Place) -> Turn:
    """What is played at a place."""
    return script.turns[here.turn] if here.turn < len(script.turns) else FAREWELL


def blocks_of(message: Body) -> list[Block]:
    """A message's content as blocks, however it was written."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def text_of(content: Any) -> str:
    """The text of a string or of blocks."""
    if isinstance(content, str):
        return content
    return "\n".join(one.get("text", "") for one in content or () if one.get("type") == "text")


def sign(*parts: str) -> str:
    """What vouches for a block that this double made."""
    return hashlib.sha256("\0".join(("aar-fake-llm", *parts)).encode()).hexdigest()


def inputs(script: Script, turn: Turn, here: Place) -> list[tuple[Call, dict[str, Any]]]:
    """A turn's calls with their values put in.

    Raises:
        KeyError: a value is named that is not there.
    """
    known = {**here.values, "turn": str(here.played)}
    return [(call, fill(call.input, known, script.tables)) for call in turn.calls]


def _start(script: Script, body: Body) -> Place:
    prompt = text_of(body.get("system", ""))
    found = {name: re.search(pattern, prompt) for name, pattern in script.system.items()}
    return _arrive(script, Place(values={name: match[1] for name, match in found.items() if match}))


def _resumed(summary: str, here: Place) -> Place:
    _, _, state = summary.rpartition(_STATE)
    try:
        return Place(**json.loads(state))
    except (TypeError, ValueError):
        return here


def _results(following: Sequence[Body]) -> dict[str, str]:
    """Texts of the tool results up to the next answer, by the call's id."""
    found: dict[str, str] = {}
    for message in following:
        if message["role"] == "assistant":
            break
        for one in blocks_of(message):
            if one["type"] == "tool_result":
                found[one["tool_use_id"]] = text_of(one.get("content"))
    return found


def _after(script: Script, here: Place, blocks: Sequence[Block], results: Mapping[str, str]) -> Place:
    turn = turn_at(script, here)
    calls = [one for one in blocks if one["type"] == "tool_use"]
    texts = [results.get(one["id"], "") for one in calls]
    values = dict(here.values)
    for call, text in zip(turn.calls, texts, strict=False):
        values |= {name: match[1] for name, pattern in call.keep.items() if (match := re.search(pattern, text))}
    again = turn.again_while is not None and any(re.search(turn.again_while, text) for text in texts)
    if again and here.repeats + 1 < turn.most:
        return replace(here, repeats=here.repeats + 1, played=here.played + 1, values=values)
    return _arrive(script, Place(here.turn + 1, 0, here.played + 1, values))


def _arrive(script: Script, here: Place) -> Place:
    """Pass over turns whose needs are not met, and over the end if the script goes round."""
    for _ in range(2 * len(script.turns)):
        if here.turn >= len(script.turns) and script.repeat_from is not None:
            here = replace(here, turn=script.repeat_from)
        if here.turn >= len(script.turns) or all(name in here.values for name in script.turns[here.turn].needs):
            return here
        here = replace(here, turn=here.turn + 1)
    return replace(here, turn=len(script.turns))
