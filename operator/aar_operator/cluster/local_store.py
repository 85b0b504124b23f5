"""The objects of the local home, in SQLite: versions, UIDs, generations, finalizers and cascades as an API server keeps them."""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aar_operator.cluster import Conflict, Manifest, Ref

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);
CREATE TABLE IF NOT EXISTS versions (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO versions VALUES (1, 0);
CREATE TABLE IF NOT EXISTS ports (service TEXT NOT NULL, name TEXT NOT NULL, port INTEGER NOT NULL, PRIMARY KEY (service, name));
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, created TEXT NOT NULL, kind TEXT, namespace TEXT, name TEXT, type TEXT, reason TEXT, message TEXT
);
"""

SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects by name. Every write is one transaction that survives a kill; `changed` is told afterwards."""

    def __init__(self, path: Path, changed: Callable[[Ref], None] = lambda ref: None) -> None:
        # Secrets are in it: for its owner's eyes alone, and its journals take over its mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL loses the last commits to a power cut, never to a kill, and never tears the file.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)
        self.changed = changed

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _write(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def get(self, ref: Ref) -> Manifest | None:
        """The object, or none."""
        row = self._db.execute(
            "SELECT body FROM objects WHERE kind = ? AND namespace = ? AND name = ?",
            (ref.kind, ref.namespace, ref.name),
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def find(self, kind: str, labels: Mapping[str, str] | None = None, namespace: str | None = None) -> list[Manifest]:
        """Objects of a kind with all these labels, by namespace and name."""
        rows = self._db.execute(
            "SELECT body FROM objects WHERE kind = ? AND (? IS NULL OR namespace = ?) ORDER BY namespace, name",
            (kind, namespace, namespace),
        ).fetchall()
        objects: list[Manifest] = [json.loads(row[0]) for row in rows]
        return [one for one in objects if _carries(one, labels or {})]

    def refs(self) -> list[Ref]:
        """The name of everything there is."""
        rows = self._db.execute("SELECT kind, namespace, name FROM objects ORDER BY kind, namespace, name")
        return [Ref(*row) for row in rows]

    def create(self, manifest: Manifest) -> bool:
        """Store a new object; false if the name is taken."""
        ref = Ref.of(manifest)
        with self._write():
            if self.get(ref) is not None:
                return False
            meta = {**manifest["metadata"], "uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": timestamp()}
            self._put(ref, {**manifest, "metadata": meta})
        self.changed(ref)
        return True

    def apply(self, manifest: Manifest) -> Manifest:
        """Create the object, or replace all of it but its status and what the server sets; no write if that changes nothing."""
        if self.create(manifest):
            return self.need(Ref.of(manifest))
        ref = Ref.of(manifest)
        with self._write():
            old = self.need(ref)
            new = _merged(old, manifest)
            if new == old:
                return old
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            self._put(ref, new)
            self._finalize(ref)
        self.changed(ref)
        return self.get(ref) or new

    def merge(self, ref: Ref, patch: Manifest) -> None:
        """Merge a patch into metadata and spec; a removed last finalizer lets a deleted object go."""
        with self._write():
            old = self.get(ref)
            if old is None:
                return
            new = _patched(old, patch)
            if new == old:
                return
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            self._put(ref, new)
            gone = self._finalize(ref)
        self.changed(ref)
        if gone:
            self._delete_children(old)

    def need(self, ref: Ref) -> Manifest:
        """The object, which must exist.

        Raises:
            Conflict: it does not, or no longer.
        """
        found = self.get(ref)
        if found is None:
            raise Conflict(f"{ref.kind} {ref.namespace}/{ref.name} is gone: read again.")
        return found

    def patch_status(self, ref: Ref, status: Mapping[str, Any], resource_version: str | None = None) -> None:
        """Replace the status.

        Raises:
            Conflict: the object is at another version than the one given, or gone.
        """
        with self._write():
            old = self.need(ref)
            if resource_version is not None and old["metadata"]["resourceVersion"] != resource_version:
                raise Conflict(
                    f"{ref.kind} {ref.namespace}/{ref.name} is at version {old['metadata']['resourceVersion']}, not {resource_version}: read again."
                )
            if old.get("status") == status:
                return
            self._put(ref, {**old, "status": dict(status)})
        self.changed(ref)

    def delete(self, ref: Ref, uid: str | None = None) -> None:
        """Mark the object deleted, remove it once it has no finalizer, and then what it owns or, for a Namespace, holds."""
        with self._write():
            old = self.get(ref)
            if old is None or (uid is not None and old["metadata"]["uid"] != uid):
                return
            if "deletionTimestamp" not in old["metadata"]:
                old["metadata"]["deletionTimestamp"] = timestamp()
                self._put(ref, old)
            gone = self._finalize(ref)
        self.changed(ref)
        if gone:
            self._delete_children(old)

    def _delete_children(self, owner: Manifest) -> None:
        for child in self._children(owner):
            self.delete(child)

    def _finalize(self, ref: Ref) -> bool:
        now = self.need(ref)
        if "deletionTimestamp" not in now["metadata"] or now["metadata"].get("finalizers"):
            return False
        self._db.execute(
            "DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", (ref.kind, ref.namespace, ref.name)
        )
        return True

    def _children(self, owner: Manifest) -> list[Ref]:
        uid, name = owner["metadata"]["uid"], owner["metadata"]["name"]
        bodies = [json.loads(row[0]) for row in self._db.execute("SELECT body FROM objects").fetchall()]
        if owner["kind"] == "Namespace":
            return [
                Ref.of(one) for one in bodies if one["metadata"].get("namespace") == name and one["kind"] != "Namespace"
            ]
        return [
            Ref.of(one)
            for one in bodies
            if any(o.get("uid") == uid for o in one["metadata"].get("ownerReferences", []))
        ]

    def _put(self, ref: Ref, body: Manifest) -> None:
        (version,) = self._db.execute("UPDATE versions SET last = last + 1 RETURNING last").fetchone()
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
        self._db.execute(
            "INSERT INTO objects VALUES (?, ?, ?, ?) ON CONFLICT (kind, namespace, name) DO UPDATE SET body = excluded.body",
            (ref.kind, ref.namespace, ref.name, json.dumps(body)),
        )

    def port(self, service: str, name: str, choose: Callable[[], int]) -> int:
        """The host port of a service's port: chosen once, and kept until it is forgotten."""
        with self._write():
            held = self.held_port(service, name)
            if held is not None:
                return held
            chosen = choose()
            self._db.execute("INSERT INTO ports VALUES (?, ?, ?)", (service, name, chosen))
            return chosen

    def held_port(self, service: str, name: str) -> int | None:
        """The host port of a service's port, if one was chosen."""
        query = "SELECT port FROM ports WHERE service = ? AND name = ?"
        row = self._db.execute(query, (service, name)).fetchone()
        return None if row is None else int(row[0])

    def forget_port(self, service: str, name: str) -> None:
        """Have the port chosen anew."""
        with self._write():
            self._db.execute("DELETE FROM ports WHERE service = ? AND name = ?", (service, name))

    def record_event(self, about: Ref, kind: str, reason: str, message: str) -> None:
        """Keep an event."""
        with self._write():
            self._db.execute(
                "INSERT INTO events (created, kind, namespace, name, type, reason, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (timestamp(), about.kind, about.namespace, about.name, kind, reason, message),
            )


def _carries(manifest: Manifest, labels: Mapping[str, str]) -> bool:
    carried = manifest["metadata"].get("labels", {})
    return all(carried.get(key) == value for key, value in labels.items())


def _patched(old: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _patched(new.get(key), value)
    return new


def _merged(old: Manifest, new: Manifest) -> Manifest:
    kept = {key: old["metadata"][key] for key in SERVER_FIELDS if key in old["metadata"]}
    given = {key: value for key, value in new["metadata"].items() if key not in SERVER_FIELDS}
    if "finalizers" not in given and "finalizers" in old["metadata"]:
        given["finalizers"] = old["metadata"]["finalizers"]  # another manager's: an applied file says nothing of them
    merged = {**new, "metadata": {**given, **kept}}
    if "status" in old:
        merged["status"] = old["status"]
    elif "status" in merged:
        merged.pop("status")
    return merged
