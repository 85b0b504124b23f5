"""How much of what a method prints its author is told: enough to mend it, too little to read the training rows and answer them by hand."""

from __future__ import annotations

from aar_api import files

LOG_CHARS = 4_000
"""Of one seed's log: a long traceback is 3,000."""
CHARS = 32_000
"""Of all logs and messages of one researcher: the texts of a task's training rows are 150,000 to 320,000 characters."""
MESSAGE_CHARS = 1_000
LEAST_CHARS = 200
"""Of a message, whatever was told before: which error it was, and in which line."""
USED_UP = f"(Left out: {CHARS} characters of logs and messages have been told, all that one researcher is told.)"


def cut(message: str, log: str, before: int | None) -> tuple[str, str]:
    """Message and end of the log as they are told.

    Args:
        message: why a seed failed.
        log: the end of its log.
        before: characters told the same researcher before; none for who may read everything.
    """
    if before is None:
        return message[:MESSAGE_CHARS], log[-files.LOG_TAIL_CHARS :]
    left = max(0, CHARS - before)
    message = message[: max(LEAST_CHARS, min(MESSAGE_CHARS, left))]
    room = min(LOG_CHARS, left - len(message))
    return message, log[-room:] if room > 0 else USED_UP if log else ""
