"""The provider's key and certificates as their files have them now: whoever renews a mounted Secret need not start anything again."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from aar_operator.settings import Settings

log = logging.getLogger(__name__)
Mark = tuple[int, int, int] | None
"""Time, size and inode of a file; none if it is not there."""


class Rotating:
    """Settings whose two files are read again whenever one has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: tuple[Mark, Mark] | None = None

    def now(self) -> Settings:
        """The settings; a file that is away or empty leaves what was read before."""
        known = self._settings
        if known.provider_key_file or known.provider_ca_file:
            marks = _mark(known.provider_key_file), _mark(known.provider_ca_file)
            if marks != self._seen:
                key = _text(known.provider_key_file).strip() or known.provider_key
                certificates = _text(known.provider_ca_file) or known.provider_ca
                self._settings = replace(known, provider_key=key, provider_ca=certificates)
                self._seen = marks
        return self._settings


def _mark(path: str) -> Mark:
    try:
        stat = Path(path).stat() if path else None
    except OSError:
        return None
    return None if stat is None else (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _text(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read (%s): what was read from it before still holds.", path, error)
        return ""
