"""Reads the usage out of an answer while it passes by. Figures of a stream are cumulative: the last one holds."""

from __future__ import annotations

import json
from typing import Any

from aar_hub.gateway.prices import Tokens

OWN_RUN = "message"
"""The kind of iteration that the figures at the top count already."""


class Tap:
    """What is known of a stream so far."""

    def __init__(self) -> None:
        self.finished = False
        self._usage: dict[str, Any] | None = None
        self._final = False
        self._delta_bytes = 0
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
        if self._event == b"content_block_delta":
            self._delta_bytes += len(data)
        elif self._event in (b"message_start", b"message_delta"):
            self._take(_json(data))
        elif self._event == b"message_stop":
            self.finished = True

    def _take(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        usage = event.get("usage") or (message.get("usage") if isinstance(message, dict) else None)
        if isinstance(usage, dict):
            self._final = self._event == b"message_delta"
            self._usage = (self._usage or {}) | {name: value for name, value in usage.items() if value is not None}

    def runs(self, max_tokens: int) -> list[Tokens]:
        """What has to be paid. A stream that broke before its last figures wrote at most a token for each byte it sent."""
        found = runs(self._usage)
        if found and not self._final:
            written = min(max_tokens, max(self._delta_bytes, found[0].output))
            found[0] = Tokens(**vars(found[0]) | {"output": written})
        return found


def of_message(body: bytes) -> list[Tokens] | None:
    """The runs of an answer that is no stream; none if it has no usage."""
    return runs(_json(body).get("usage")) or None


def runs(usage: Any) -> list[Tokens]:
    """The model runs that a usage reports: the answer, and what ran beside it (a compaction)."""
    if not isinstance(usage, dict):
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
