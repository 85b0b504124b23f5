"""Baseline outputs that outlive a campaign: an entry is a small index that names a blob by digest, so damage is found, not used."""

from __future__ import annotations

import json
import secrets

import fsspec
from aar_api import digest

from aar_hub.store.blobs import BlobMissing, Blobs


class Cache:
    """Bytes by key. Without a root nothing is kept."""

    def __init__(self, root: str | None) -> None:
        self._root = root
        if root is not None:
            self._fs, self._path = fsspec.core.url_to_fs(root)
            self._fs.makedirs(f"{self._path}/keys", exist_ok=True)
            self._blobs = Blobs(f"{root.rstrip('/')}/blobs")

    def put(self, key: object, data: bytes) -> None:
        """Keep bytes under a JSON key."""
        if self._root is None:
            return
        entry = json.dumps({"key": key, "blob": self._blobs.put(data)}).encode()
        draft = f"{self._path}/keys/.{secrets.token_hex(8)}"
        with self._fs.open(draft, "wb") as file:
            file.write(entry)
        self._fs.mv(draft, self._entry(key))

    def get(self, key: object) -> bytes | None:
        """The bytes under a key; none if absent or damaged."""
        if self._root is None:
            return None
        try:
            return self._blobs.get(json.loads(self._fs.cat_file(self._entry(key)))["blob"])
        except (FileNotFoundError, BlobMissing, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _entry(self, key: object) -> str:
        return f"{self._path}/keys/{digest.of_json(key).removeprefix('sha256:')}.json"
