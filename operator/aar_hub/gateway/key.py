"""The provider's key: read again whenever its file changes; whatever was one is hidden for as long as the hub runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from aar_hub.gateway.errors import NoKey
from aar_hub.gateway.mounted import Mark, mark
from aar_hub.gateway.secrets import Secrets


class Key:
    """A key from a file or, without one, from the environment."""

    def __init__(self, value: str | None, file: Path | None) -> None:
        self._value, self._file = value, file
        self._seen: Mark | None = None
        self._known = {value} if value else set()
        self._secrets = Secrets(self._known)

    def read(self) -> str:
        """The key as it is now.

        Raises:
            NoKey: there is none.
        """
        if self._file is not None:
            self._reload(self._file)
        if not self._value:
            raise NoKey(
                "This hub has no provider key, so that no LLM can be called: set AAR_HUB_PROVIDER_KEY_FILE or AAR_HUB_PROVIDER_KEY."
            )
        return self._value

    def secrets(self) -> Secrets:
        """What must not be shown: this key, and those before it, which may still be told of calls under way or kept in records."""
        with contextlib.suppress(NoKey):  # then those before it are still to be hidden
            self.read()
        return self._secrets

    def _reload(self, file: Path) -> None:
        try:
            seen = mark(file)
            if seen == self._seen:
                return
            self._value, self._seen = file.read_text().strip(), seen
        except OSError as error:
            raise NoKey(f"The provider key cannot be read from {file} ({error.strerror}): mount it there.") from error
        self._known.add(self._value)
        self._secrets = Secrets(self._known)
