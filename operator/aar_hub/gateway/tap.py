"""Reads the usage out of an answer while it passes by. Figures of a stream are cumulative: the last one holds.

Whatever figures are missing where the provider has worked, the most that they can be stands in their place.
"""

from __future__ import annotations

import json
import re
from typing import Any

from aar_hub.gateway.params import Asked
from aar_hub.gateway.prices import Tokens

OWN_RUN = "message"
"""The kind of iteration that the figures at the top count already."""
NEEDED = ("input_tokens", "output_tokens")
"""A usage without them is none."""
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{}]', re.DOTALL)
"""A string, up to the end if it is not closed, or a bracket outside of strings."""


class Tap:
    """What is known of a stream so far."""

    def __init__(self) -> None:
        self.finished = False
        self._begun = False
        self._usage: dict[str, Any] | None = None
        self._final = False
        self._event = b""
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of a stream."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif line.startswith(b"data:"):
                self._data(line[5:])

    def _data(self, data: bytes) -> None:
        if self._event in (b"message_start", b"message_delta"):
            self._take(_json(data))
        elif self._event == b"message_stop":
            self.finished = True

    def _take(self, event: dict[str, Any]) -> None:
        self._begun = True
        message = event.get("message")
        usage = event.get("usage") or (message.get("usage") if isinstance(message, dict) else None)
        if isinstance(usage, dict):
            self._final = self._event == b"message_delta"
            self._usage = (self._usage or {}) | {name: value for name, value in usage.items() if value is not None}

    def runs(self, asked: Asked) -> list[Tokens]:
        """What has to be paid. Of a stream that broke before its last figures nobody knows what was written: of thought only a summary is sent."""
        found = runs(self._usage)
        if not found:
            return [most(asked)] if self._begun or self.finished else []
        if not self._final:
            # A compaction begins with figures of nothing: what it read stands in its last ones.
            read = vars(found[0]) if found[0].prompt else vars(most(asked))
            found[0] = Tokens(**read | {"output": max(asked.output, found[0].output)})
        return found


def of_message(body: bytes, asked: Asked) -> list[Tokens]:
    """The runs of an answer that is no stream, or of as much of it as came: once it begins, the provider has written it all."""
    whole = _json(body)
    return runs(whole["usage"] if "usage" in whole else _usage_in(body)) or [most(asked)]


def most(asked: Asked) -> Tokens:
    """The most that a call can have used."""
    return Tokens(cache_write_1h=asked.prompt, output=asked.output)


def _usage_in(body: bytes) -> Any:
    """The usage at the top of JSON that breaks off; what the model wrote, which may look like one, lies deeper or in strings."""
    depth = 0
    for found in TOKEN.finditer(body):
        token = found[0]
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        if depth == 1 and token == b'"usage"' and (after := body[found.end() :].lstrip()).startswith(b":"):
            try:
                return json.JSONDecoder().raw_decode(after[1:].decode(errors="replace").lstrip())[0]
            except ValueError:
                return None
    return None


def runs(usage: Any) -> list[Tokens]:
    """The model runs that a usage reports: the answer, and what ran beside it (a compaction)."""
    if not isinstance(usage, dict) or not all(isinstance(usage.get(name), int) for name in NEEDED):
        return []
    beside = [one for one in usage.get("iterations") or [] if isinstance(one, dict) and one.get("type") != OWN_RUN]
    return [_tokens(one) for one in (usage, *beside)]


def _tokens(usage: dict[str, Any]) -> Tokens:
    written = _count(usage, "cache_creation_input_tokens")
    detail = usage.get("cache_creation")
    hour = _count(detail, "ephemeral_1h_input_tokens") if isinstance(detail, dict) else 0
    minutes = _count(detail, "ephemeral_5m_input_tokens") if isinstance(detail, dict) else 0
    return Tokens(
        input=_count(usage, "input_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write_5m=max(minutes, written - hour),
        cache_write_1h=hour,
        output=_count(usage, "output_tokens"),
    )


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
