"""Finds the provider's key in what passes, also where JSON has escaped it or an answer breaks off within it."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "[key]"
SHORTEST = 8
"""Characters of a value that is hidden. A shorter one is no secret but a word for a gateway without keys, and stands in honest answers."""
MOST = 0.5
"""Part of a key that is hidden where a text ends with it: keys of one provider begin alike, and an honest text may say how."""


class Secrets:
    """Values that nobody may be shown."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted({one for one in values if len(one) >= SHORTEST}, key=len, reverse=True)
        self._bytes = [one.encode("latin-1", "replace") for one in self._values]  # as a header carries them
        self._text = re.compile("|".join(map(re.escape, self._values)), re.IGNORECASE)  # names of headers have no case
        self._written = re.compile("|".join("".join(map(_written, one)) for one in self._values).encode("latin-1"))
        self._longest = max(map(len, self._values), default=0)

    def hide(self, data: bytes) -> bytes:
        """Bytes without them."""
        if not any(one in data for one in self._bytes) and not (self._values and _escapes(data)):
            return data
        return self._written.sub(HIDDEN.encode(), data)

    def hide_text(self, text: str) -> str:
        """Text without them."""
        return self._text.sub(HIDDEN, text) if self._values else text

    def hide_start(self, data: bytes) -> bytes:
        """Bytes that broke off: without them, and without most of one at the end."""
        whole = self.hide(data)
        begun = self.open_end(whole[max(0, len(whole) - self._longest) :].decode("latin-1"), MOST)
        return whole[: len(whole) - begun] + HIDDEN.encode() if begun else whole

    def find(self, text: str) -> tuple[int, int] | None:
        """Where the first one stands in a text: from, to."""
        found = self._text.search(text) if self._values else None
        return None if found is None else found.span()

    def open_end(self, text: str, part: float = 0.0) -> int:
        """Characters at the end of a text that may go on as one of them, if they are at least such a part of it."""
        longest = 0
        for secret in self._values:
            at = max(0, len(text) - len(secret) + 1)
            while (at := text.find(secret[0], at)) >= 0 and len(text) - at > max(longest, part * len(secret)):
                if secret.startswith(text[at:]):
                    longest = len(text) - at
                at += 1
        return longest

    def may_begin(self, data: bytes) -> bool:
        """Whether a string in this JSON may end within one of them. Quick, and yes if in doubt."""
        return bool(self._values) and (_escapes(data) or any(_ends(data, one) for one in self._bytes))


def _escapes(data: bytes) -> bool:
    """Whether JSON writes a character otherwise that may be a key's: not so a line's end or a quotation mark."""
    return b"\\u" in data or b"\\/" in data


def _written(character: str) -> str:
    """A pattern of the ways in which JSON may write a character."""
    plain = re.escape(character)
    return (
        rf"(?:\\?{plain}|\\u(?i:{ord(character):04x}))"
        if character == "/"
        else rf"(?:{plain}|\\u(?i:{ord(character):04x}))"
    )


def _ends(data: bytes, secret: bytes) -> bool:
    at = -1
    while (at := data.find(secret[:1], at + 1)) >= 0:
        end = data.find(b'"', at, at + len(secret))
        if end > at and secret.startswith(data[at:end]):
            return True
    return False
