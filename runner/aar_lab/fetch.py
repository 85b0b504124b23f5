"""First step: `python -m aar_lab.fetch` gets the assignment, the bundle and the snapshot from the hub.

Runs no method and imports no torch. What it writes is described in `aar_api.files`.
"""

from __future__ import annotations

import io
import shutil
import signal
import sys
import tarfile
from pathlib import Path

from aar_api import digest
from aar_api.errors import AarError
from aar_api.files import BUNDLE_DIR, SNAPSHOT_DIR, Assignment
from pydantic import ValidationError

from aar_lab import settings as lab_settings
from aar_lab.errors import BundleInvalid
from aar_lab.hub import Hub
from aar_lab.settings import Settings


def fetch(settings: Settings, hub: Hub) -> Assignment:
    """Fill the input folder; a second run replaces what a first one left half done."""
    settings.input_dir.mkdir(parents=True, exist_ok=True)
    raw = hub.get("/v1/lab/assignment")
    try:
        assignment = Assignment.model_validate_json(raw)
    except ValidationError as error:
        raise BundleInvalid(f"The hub's assignment is not one this lab understands: {error}") from error
    _unpack(hub.get("/v1/lab/bundle"), settings.input_dir / BUNDLE_DIR)
    if assignment.snapshot:
        _write_snapshot(hub.get("/v1/lab/snapshot"), assignment.snapshot, settings.input_dir / SNAPSHOT_DIR)
    settings.assignment_file.write_bytes(raw)
    return assignment


def _unpack(archive: bytes, folder: Path) -> None:
    """Plain files alone. Not by `extractall`, whose filter for untrusted archives came with Python 3.11.4: Debian 12 has 3.11.2."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise BundleInvalid(f"The bundle from the hub holds {member.name!r}, which is no plain file.")
                with _within(folder, member.name, "bundle").open("wb") as file:
                    shutil.copyfileobj(content, file)
    except tarfile.TarError as error:
        raise BundleInvalid(f"The bundle from the hub is no tar archive to be unpacked safely: {error}.") from error


def _within(folder: Path, name: str, what: str) -> Path:
    """Where a named file goes; its folder is made."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BundleInvalid(
            f"The {what} names the file {name!r}, which lies outside its folder; it cannot be unpacked."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_snapshot(raw: bytes, wanted: str, folder: Path) -> None:
    from aar_api.wire import Snapshot  # a built-in method needs none of the wire's models

    snapshot = Snapshot.model_validate_json(raw)
    got = digest.of_files(snapshot.files)
    if got != wanted:
        raise BundleInvalid(
            f"The snapshot has digest {got}, but the assignment names {wanted}: the hub's store is damaged."
        )
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in snapshot.files.items():
        _within(folder, name, "snapshot").write_text(text, encoding="utf-8")


def main() -> int:
    """Exit 0 when everything is there, 1 otherwise with a sentence on stderr."""
    # As process 1 of a pod it would not hear it, and be killed after the whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        settings = lab_settings.load()
        hub = Hub(settings)
        fetch(settings, hub)
    except (AarError, OSError) as error:
        sys.stderr.write(f"aar_lab.fetch: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
