"""What an error of the provider means for the researcher. Pure: an error in, one word and a sentence out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import anthropic
import httpx2

Kind = Literal["spent", "again", "broken", "history", "refused"]
"""spent: the money is gone. again: another try may succeed. broken: the same, but this try is paid for, since its answer had begun.
history: this conversation is not taken. refused: no conversation is."""


class Garbled(Exception):
    """A stream that is no answer: it ends too soon, or the SDK cannot put it together."""


ERRORS = (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError, Garbled)
"""All that a call can end with: after the first byte of a stream the SDK lets errors of the connection through as they are."""
REFUSED = 400
HISTORY = (400, 413, 422)
FINAL = (401, 403, 404)


@dataclass(frozen=True)
class Fault:
    """An error, judged."""

    kind: Kind
    message: str


def judge(error: Exception) -> Fault:
    """What is to be done about an error."""
    said = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, anthropic.APIConnectionError):
        return Fault("again", said)
    if not isinstance(error, anthropic.APIStatusError):
        return Fault("broken", said)
    if error.status_code == 402 or error.type == "billing_error":
        return Fault("spent", error.api_message or said)
    if error.status_code in HISTORY:
        return Fault("history", said)
    if error.status_code in FINAL:
        return Fault("refused", said)
    # An error within a stream has the status of the answer that it breaks off.
    return Fault("broken" if error.status_code < REFUSED else "again", said)
