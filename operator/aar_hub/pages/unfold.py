"""JSON that a model or a provider wrote, made readable: short parts as indented JSON, long texts apart from it, each with its own lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LONG = 400
"""Characters from which a text stands apart: about five lines."""


@dataclass(frozen=True)
class Text:
    """A text that stands apart, cut where it is too long for a page."""

    number: int
    place: str
    text: str
    length: int


@dataclass
class Unfolded:
    """Indented JSON in which `[text 1]` stands for the first of `texts`, or the text itself if it is no JSON."""

    room: int
    """Characters that may still be shown."""
    hide: Callable[[str], str]
    """Takes out what is shown nowhere; pieces of it may only meet here, where a stream is put together."""
    body: str = ""
    texts: list[Text] = field(default_factory=list)
    left_out: int = 0
    """Characters of the body that are not shown."""

    def apart(self, place: str, text: str) -> str:
        """Put a text apart; what stands in its place."""
        if self.room <= 0:
            return f"[{len(text):,} characters, not shown]"
        self.texts.append(Text(len(self.texts) + 1, place, self._fit(text), len(text)))
        return f"[text {len(self.texts)}: {len(text):,} characters, below]"

    def end(self, body: str) -> Unfolded:
        """Enter what stands above the texts."""
        self.body = self._fit(body)
        self.left_out = max(0, len(body) - len(self.body))
        return self

    def _fit(self, text: str) -> str:
        hidden = self.hide(text)
        shown = hidden[: max(LONG, self.room)]
        self.room -= len(shown)
        return shown


def unfold(said: str, room: int, hide: Callable[[str], str]) -> Unfolded:
    """What was said, for a reader. A stream of events is the message that it adds up to."""
    found = Unfolded(room, hide)
    try:
        value = message(said) if said.startswith("event:") else json.loads(said)
        return found.end(json.dumps(_short(value, "", found), indent=2, ensure_ascii=False))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        # Whoever wrote it kept to no form, or nested it too deep: it is shown as it is.
        return Unfolded(room, hide).end(said)


def _short(value: Any, place: str, found: Unfolded) -> Any:
    if isinstance(value, str) and len(value) > LONG:
        return found.apart(place, value)
    if isinstance(value, dict):
        return {name: _short(one, f"{place}.{name}".lstrip("."), found) for name, one in value.items()}
    if isinstance(value, list):
        return [_short(one, f"{place}[{index}]", found) for index, one in enumerate(value)]
    return value


def message(stream: str) -> dict[str, Any]:
    """The message that the events of the Messages API add up to; raises what broken JSON or a missing field raises."""
    whole: dict[str, Any] = {}
    for line in stream.splitlines():
        if not line.startswith("data:"):
            continue
        event = json.loads(line.removeprefix("data:"))
        match event["type"]:
            case "message_start":
                whole |= event["message"] | {"content": []}
            case "content_block_start":
                whole.setdefault("content", []).append(dict(event["content_block"]))
            case "content_block_delta":
                _grow(whole["content"][event["index"]], event["delta"])
            case "message_delta":
                whole |= event["delta"]
                whole["usage"] = whole.get("usage", {}) | event.get("usage", {})
            case "error":
                whole["error"] = event["error"]
    return whole


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a piece to the block it belongs to: text, thinking, signature, or the JSON of a tool's input."""
    for name, piece in delta.items():
        if name == "type":
            continue
        if name == "partial_json":
            name, block["input"] = "input", block["input"] if isinstance(block.get("input"), str) else ""
        before = block.get(name)
        block[name] = before + piece if isinstance(before, str) and isinstance(piece, str) else piece
