"""Whether the provider answers: since when no LLM call succeeds, and why, in words for the campaign's owner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

TOLD_SECONDS = 60.0
"""A fault that lasts less is a hiccup, which researchers wait for."""
KEY, CALL, BILL, PATH, CROWD = 401, 403, 402, 404, (429, 529)
UNPAID = ("Your credit balance is too low", "You have reached your specified API usage limits")
"""How a 400 begins that is about the account and not about the call."""


@dataclass(frozen=True)
class Fault:
    """The first failure of its kind after the last success."""

    began: float
    since: str
    kind: str
    message: str


class Standing:
    """Written by the gateway's loop, read by any thread: it holds one reference."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fault: Fault | None = None

    def answers(self) -> None:
        """A call succeeded, or none was tried for so long that nothing is known."""
        self._fault = None

    def refuses(self, status: int) -> None:
        """The provider answered a call with an error that is not the caller's."""
        if status == KEY:
            self.fails(
                "key",
                "The provider refuses the key (401): put another one in its place. It is read again with every call.",
            )
        elif status == CALL:
            self.fails("call", "The provider, or what stands before it, refuses the key or the calls (403).")
        elif status == BILL:
            self.fails(
                "bill",
                "The provider says that the account's credit or its limit is used up: that is changed with the provider.",
            )
        elif status == PATH:
            self.fails(
                "path",
                "The provider knows no such address or model (404): see the provider's URL and researchers.model.",
            )
        elif status in CROWD:
            self.fails("crowd", f"The provider takes no more calls for now ({status}).")
        else:
            self.fails("down", f"The provider fails ({status}).")

    def fails(self, kind: str, message: str) -> None:
        """A call failed for a reason that is not the caller's. Of failures of one kind the first is told, so that what is told stays."""
        before = self._fault
        if before is None:
            self._fault = Fault(self._clock(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), kind, message)
        elif before.kind != kind:
            self._fault = Fault(before.began, before.since, kind, message)

    @property
    def fault(self) -> str:
        """Since when every LLM call fails, and why; empty while they succeed, and in the first minute."""
        fault = self._fault
        if fault is None or self._clock() - fault.began < TOLD_SECONDS:
            return ""
        return f"No LLM call has succeeded since {fault.since}. {fault.message}"
