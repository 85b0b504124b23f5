"""One stream of events without the key. A line leaves as it came unless it holds a piece of the key.

Clients put the pieces of a text together, so a key may be told half in one event and half in the next. An event whose text ends like
the beginning of a key waits for the next one; every other leaves at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aar_hub.gateway.secrets import HIDDEN, MOST, Secrets

DATA = b"data:"
BLANK = (b"\n\n", b"\n\r\n")
PIECES = {"content_block_start": "content_block", "content_block_delta": "delta"}
"""Events that bring pieces of text, and where."""
BETWEEN = ("ping",)
"""Events that may stand between two pieces of one text."""


@dataclass
class _Line:
    """A line that waits; `text` is the piece it adds to a block's text."""

    raw: bytes
    event: dict[str, Any] = field(default_factory=dict)
    within: str = ""
    name: str = ""
    text: str = ""

    def say(self, text: str) -> None:
        """Put another piece in the place of its own, and leave the rest as it is written."""
        wanted = self.event | {self.within: self.event[self.within] | {self.name: text}}
        before, found, after = self.raw.rpartition(f'"{self.text}"'.encode("utf-8", "surrogatepass"))
        self.raw = before + f'"{text}"'.encode("utf-8", "surrogatepass") + after
        if not found or _json(self.raw) != wanted:
            self.raw = b"data: " + json.dumps(wanted).encode() + b"\n"
        self.event, self.text = wanted, text


class Veil:
    """What may be passed on of a stream so far."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._rest: list[bytes] = []
        self._within = False
        """Whether an event has begun its data and not ended."""
        self._held: list[_Line] = []
        self._place: tuple[Any, str] | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of a stream; the whole lines of it that may leave."""
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            self._rest.append(chunk)
            return b""
        lines = self._secrets.hide(b"".join(self._rest) + chunk[:cut])
        self._rest = [chunk[cut:]]
        self._within = lines.rstrip(b"\r\n").rpartition(b"\n")[2].startswith(DATA) and not lines.endswith(BLANK)
        if not self._held and not self._secrets.may_begin(lines):
            return lines
        return b"".join(map(self._take, lines.splitlines(keepends=True)))

    def end(self) -> bytes:
        """What is left when the stream is over."""
        return self._leave() + self._secrets.hide_start(b"".join(self._rest))

    def break_off(self) -> bytes:
        """What is left when the stream breaks off: without half a line, which would spoil the event that is to follow."""
        ends = b"\n" if self._within else b""
        return self._leave() + ends

    def _take(self, raw: bytes) -> bytes:
        event = _json(raw) if raw.startswith(DATA) else None
        if event is None or event.get("type") in BETWEEN:
            return self._wait(_Line(raw))
        kind = str(event.get("type"))
        line = _piece(raw, event, PIECES.get(kind, ""))
        place = (event.get("index"), line.name)
        before = self._leave() if kind not in PIECES or place != self._place else b""
        self._place = place
        self._held.append(line)
        return before + self._settle()

    def _wait(self, line: _Line) -> bytes:
        """A line without text keeps its place behind those that wait."""
        if not self._held:
            return line.raw
        self._held.append(line)
        return b""

    def _settle(self) -> bytes:
        """Hide what has become whole, and let go of the lines before the one in which a key may begin."""
        while found := self._secrets.find(self._said()):
            self._hide(*found)
        begun = self._secrets.open_end(self._said())
        going = len(self._held)
        while begun > 0 and going:
            going -= 1
            begun -= len(self._held[going].text)
        return self._let_go(len(self._held) - going)

    def _hide(self, start: int, end: int) -> None:
        place, told = 0, HIDDEN
        for line in self._held:
            first, last = max(start - place, 0), min(end - place, len(line.text))
            place += len(line.text)
            if first < last:
                line.say(line.text[:first] + told + line.text[last:])
                told = ""

    def _leave(self) -> bytes:
        """All lines that wait, since no piece of their text will follow; without most of a key at its end."""
        text = self._said()
        if begun := self._secrets.open_end(text, MOST):
            self._hide(len(text) - begun, len(text))
        return self._let_go(0)

    def _said(self) -> str:
        return "".join(line.text for line in self._held)

    def _let_go(self, keep: int) -> bytes:
        """The waiting lines but for the last so many."""
        going = self._held[: len(self._held) - keep]
        del self._held[: len(going)]
        return b"".join(line.raw for line in going)


def _piece(raw: bytes, event: dict[str, Any], within: str) -> _Line:
    """A line with the text that it brings, if it brings any."""
    texts = event.get(within)
    for name, text in texts.items() if isinstance(texts, dict) else ():
        if name != "type" and isinstance(text, str):
            return _Line(raw, event, within, name, text)
    return _Line(raw)


def _json(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw[len(DATA) :])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
