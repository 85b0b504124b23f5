"""Whose certificates the provider's is checked against: read again whenever their file changes."""

from __future__ import annotations

import ssl
from pathlib import Path

from aar_hub.gateway.errors import UpstreamFault
from aar_hub.gateway.mounted import Mark, mark


class Trust:
    """The certificates of a file and no others or, without a file, those of the system."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen: Mark | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """What a connection that is opened now is checked by.

        Raises:
            UpstreamFault: the file cannot be read, or holds no certificate.
        """
        if self._file is not None:
            self._reload(self._file)
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context

    def _reload(self, file: Path) -> None:
        try:
            seen = mark(file)
            if seen != self._seen:
                self._context = ssl.create_default_context(cafile=str(file))
                self._seen = seen
        except OSError as error:  # also of what is no certificate
            raise UpstreamFault(
                f"The provider's certificates cannot be read from {file} ({error}): mount a file in PEM there."
            ) from error
