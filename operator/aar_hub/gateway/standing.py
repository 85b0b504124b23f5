"""Whether the provider answers: since when no call succeeds, and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

TOLD_SECONDS = 60.0
"""A fault that lasts less is a hiccup, which researchers wait for."""


@dataclass(frozen=True)
class Fault:
    """The first failure after the last success, and what the latest said."""

    began: float
    since: str
    message: str


class Standing:
    """Written by the gateway's loop, read by any thread: it holds one reference."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fault: Fault | None = None

    def answers(self) -> None:
        """A call was answered, be it with a refusal that is the caller's to read."""
        self._fault = None

    def fails(self, message: str) -> None:
        """A call failed for a reason that is not the caller's."""
        before = self._fault
        if before is None:
            self._fault = Fault(self._clock(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), message)
        else:
            self._fault = Fault(before.began, before.since, message)

    @property
    def fault(self) -> str:
        """Since when every LLM call fails, and why; empty while they succeed, and in the first minute."""
        fault = self._fault
        if fault is None or self._clock() - fault.began < TOLD_SECONDS:
            return ""
        return f"No LLM call has succeeded since {fault.since}. {fault.message}"
