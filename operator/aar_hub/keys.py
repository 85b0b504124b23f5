"""The hub's one secret, made once and kept in its data folder; every other key follows from it by HMAC."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

FILE = "hub.key"


class Keys:
    """Keys by purpose, all derived from one secret."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key of that purpose; the same for the life of the data folder."""
        return hmac.new(self._master, purpose.encode(), hashlib.sha256).digest()


def load(data_dir: Path) -> Keys:
    """The keys of a data folder; the secret is drawn on first use. Written aside and linked, so that two starts agree on one."""
    path = data_dir / FILE
    if not path.exists():
        draft = data_dir / f".{FILE}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return Keys(path.read_bytes())
