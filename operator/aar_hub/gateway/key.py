"""The provider's key: read again whenever its file changes, and kept out of everything that leaves the hub."""

from __future__ import annotations

from pathlib import Path

from aar_hub.gateway.errors import NoKey

HIDDEN = b"[key]"


class Key:
    """A key from a file or, without one, from the environment."""

    def __init__(self, value: str | None, file: Path | None) -> None:
        self._value, self._file = value, file
        self._seen: tuple[int, int, int] | None = None

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

    def _reload(self, file: Path) -> None:
        try:
            stat = file.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._value, self._seen = file.read_text().strip(), seen
        except OSError as error:
            raise NoKey(f"The provider key cannot be read from {file} ({error.strerror}): mount it there.") from error

    def hide(self, data: bytes) -> bytes:
        """Bytes without the key."""
        return data.replace(self._value.encode(), HIDDEN) if self._value else data
