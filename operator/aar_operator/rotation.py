"""Keys, certificates and credentials as their files have them now: whoever renews a mounted Secret need not start anything again."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from aar_operator.settings import Settings

log = logging.getLogger(__name__)
Mark = tuple[int, int, int] | None
"""Time, size and inode of a file; none if it is not there."""


class Rotating:
    """Settings whose files are read again whenever one has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        pulls = settings.pull_secret_files.values()
        self._files = [path for path in (settings.provider_key_file, settings.provider_ca_file, *pulls) if path]
        self._seen: list[Mark] = []

    def now(self) -> Settings:
        """The settings; a file that is away or empty leaves what was read before."""
        marks = [_mark(path) for path in self._files]
        if marks != self._seen:
            self._seen, known = marks, self._settings
            pulls = {name: _text(path) or known.pull_secrets[name] for name, path in known.pull_secret_files.items()}
            self._settings = replace(
                known,
                provider_key=_text(known.provider_key_file).strip() or known.provider_key,
                provider_ca=_text(known.provider_ca_file) or known.provider_ca,
                pull_secrets=pulls,
            )
        return self._settings


def _mark(path: str) -> Mark:
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _text(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read (%s): what was read from it before still holds.", path, error)
        return ""
