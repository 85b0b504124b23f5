"""Content-addressed blobs in a folder or an object store: written aside, then renamed, so a reader never sees half of one."""

from __future__ import annotations

import os
import secrets

import fsspec
from aar_api import digest
from aar_api.errors import AarError
from fsspec.implementations.local import LocalFileSystem


class BlobMissing(AarError):
    """No intact blob has that digest."""


class Blobs:
    """Blobs under a root, each named by its digest."""

    def __init__(self, root: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(root)
        self._fs.makedirs(self._root, exist_ok=True)
        self._local = isinstance(self._fs, LocalFileSystem)
        """Then files are opened without fsspec, which takes longer than the file."""
        self._made: set[str] = set()

    def _path(self, address: str) -> str:
        name = address.removeprefix("sha256:")
        return f"{self._root}/{name[:2]}/{name}"

    def put(self, data: bytes, *, synced: bool = True) -> str:
        """Store bytes; the same bytes are stored once, and take the place of a damaged copy.

        Synced to the disk, since a row that names them is: else the failure of a machine could leave a score without its predictions.
        """
        address = digest.of_bytes(data)
        try:
            self.get(address)
        except BlobMissing:
            self._write(self._path(address), data, synced)
        return address

    def get(self, address: str) -> bytes:
        """The bytes of a digest.

        Raises:
            BlobMissing: it is absent, or what lies there has another digest.
        """
        try:
            data = self._read(self._path(address))
        except FileNotFoundError as error:
            raise BlobMissing(f"The blob {address} is gone from {self._root}: restore the data folder.") from error
        if digest.of_bytes(data) != address:
            raise BlobMissing(f"The blob {address} in {self._root} is damaged: its content has another digest.")
        return data

    def _read(self, path: str) -> bytes:
        if self._local:
            with open(path, "rb") as file:
                return file.read()
        data: bytes = self._fs.cat_file(path)
        return data

    def _write(self, path: str, data: bytes, synced: bool) -> None:
        parent = path.rsplit("/", 1)[0]
        draft = f"{parent}/.{secrets.token_hex(8)}"
        fresh = parent not in self._made
        if fresh:
            self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        if self._local:
            with open(draft, "wb") as file:
                file.write(data)
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(draft, path)
            if synced:
                _sync_folder(parent)
            if synced and fresh:
                _sync_folder(self._root)
            return
        with self._fs.open(draft, "wb") as file:
            file.write(data)
        self._fs.mv(draft, path)


def _sync_folder(path: str) -> None:
    """Have the names in a folder last too."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
