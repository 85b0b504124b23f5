"""The objects, their versions and everything that changed: the only place that writes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from kube.apidouble import admission, kinds, merging
from kube.apidouble.kinds import Kind, Kinds
from kube.apidouble.labels import matches
from kube.apidouble.refusal import Refused, expired

KEPT = 20_000
"""Changes that a watch may still ask for."""
OWN_META = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")  # fmt: skip


@dataclass(frozen=True)
class Change:
    version: int
    kind: Kind
    old: dict | None
    new: dict | None
    """None once it is gone."""
    last: dict
    """What a watch is told."""


class Store:
    def __init__(self) -> None:
        self.kinds = Kinds()
        self.version, self.floor = 1, 0
        self.changes: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: dict[tuple[str, str], dict[tuple[str, str], dict]] = {}
        for name in ("default", "kube-system"):
            self.create(kinds.NAMESPACE, "", {"metadata": {"name": name}})

    def compact(self) -> None:
        """Forget the past, as etcd does every few minutes."""
        self.floor = self.version
        self.changes.clear()

    def since(self, version: int) -> Iterator[Change]:
        """Raises:
        Refused: 410, that is too long ago.
        """
        if version < self.floor:
            raise expired(version, self.floor)
        return (one for one in self.changes if one.version > version)

    def list(self, kind: Kind, namespace: str = "", selector: str = "") -> list[dict]:
        known = sorted(self._objects.get((kind.group, kind.plural), {}).items())
        found = (one for (where, _), one in known if not namespace or where == namespace)
        return [one for one in found if matches(selector, one["metadata"].get("labels") or {})]

    def find(self, kind: Kind, namespace: str, name: str) -> dict | None:
        return self._objects.get((kind.group, kind.plural), {}).get((namespace, name))

    def get(self, kind: Kind, namespace: str, name: str) -> dict:
        found = self.find(kind, namespace, name)
        if found is None:
            raise Refused(404, "NotFound", f'{kind.resource} "{name}" not found')
        return found

    def create(self, kind: Kind, namespace: str, given: dict, strict: bool = False) -> dict:
        meta = _tidy(given.get("metadata") or {})
        if "name" not in meta and "generateName" in meta:
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        admission.check_place(self, kind, namespace, meta)
        if self.find(kind, namespace, meta["name"]) is not None:
            raise Refused(409, "AlreadyExists", f'{kind.resource} "{meta["name"]}" already exists')
        for name in ("resourceVersion", "deletionTimestamp", "generation"):
            meta.pop(name, None)
        known = {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()} | (
            {"generation": 1} if kind.generation else {}
        )
        meta |= known | ({"namespace": namespace} if kind.namespaced else {})
        made = {"apiVersion": kind.api_version, "kind": kind.name, **given, "metadata": meta}
        if kind.status:
            made.pop("status", None)
            made |= {"status": {}} if kind.schema is None else {}
        made = admission.complete(self, kind, made, None, strict)
        admission.check_quota(self, kind, made)
        return self._write(kind, None, made)

    def update(self, kind: Kind, old: dict, wanted: dict, part: str = "", strict: bool = False) -> dict:
        """Write what an object should be; `part` is empty or `status`."""
        given = wanted.get("metadata", {})
        for name in ("resourceVersion", "uid"):
            if given.get(name, old["metadata"][name]) != old["metadata"][name]:
                raise modified(kind, old)
        if part == "status":
            new = {**old, "status": wanted.get("status", {})}
        else:
            new = {**wanted, "metadata": _meta(kind, old, given)}
            if kind.status:
                new.pop("status", None)
                new |= {"status": old["status"]} if "status" in old else {}
        new = admission.complete(self, kind, new, old, strict)
        if _without_version(new) == _without_version(old):
            return old
        if kind.generation and _body(new) != _body(old):
            new["metadata"] = {**new["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self._write(kind, old, new)

    def apply(
        self, kind: Kind, namespace: str, name: str, wanted: dict, manager: str, force: bool
    ) -> tuple[dict, bool]:
        """Server-side apply; the object and whether it was made."""
        old = self.find(kind, namespace, name)
        wanted = admission.with_data(kind, wanted)
        if old is None:
            blank: dict = {"metadata": {}, "apiVersion": kind.api_version}
            return self.create(kind, namespace, merging.applied(blank, wanted, manager, True)), True
        return self.update(kind, old, merging.applied(old, wanted, manager, force)), False

    def delete(self, kind: Kind, namespace: str, name: str, options: dict) -> dict:
        """The object as it is now, or the Status that it is gone."""
        old = self.get(kind, namespace, name)
        for key, value in (options.get("preconditions") or {}).items():
            if old["metadata"].get(key) != value:
                raise modified(kind, old)
        if options.get("propagationPolicy", "Orphan" if kind == kinds.JOB else "Background") == "Orphan":
            self._orphan(old["metadata"]["uid"])
        meta = old["metadata"]
        if not meta.get("finalizers") and not old.get("spec", {}).get("finalizers"):
            self._write(kind, old, None)
            return _gone(kind, old)
        if "deletionTimestamp" in meta:
            return old
        leaving = {**old, "metadata": {**meta, "deletionTimestamp": stamp(), "deletionGracePeriodSeconds": 0}}
        if kind == kinds.NAMESPACE:
            leaving["status"] = {"phase": "Terminating"}
        return self._write(kind, old, leaving)

    def finalized(self, kind: Kind, old: dict, finalizer: str) -> None:
        """Take a finalizer off."""
        left = [one for one in old["metadata"].get("finalizers", []) if one != finalizer]
        self.update(kind, old, {**old, "metadata": {**old["metadata"], "finalizers": left}})

    def everything(self) -> Iterator[tuple[Kind, dict]]:
        for kind in list(self.kinds):
            for one in list(self._objects.get((kind.group, kind.plural), {}).values()):
                yield kind, one

    def end(self, kind: Kind, old: dict) -> None:
        """Remove at once: a controller's way."""
        self._write(kind, old, None)

    def _orphan(self, uid: str) -> None:
        for kind, one in self.everything():
            owners = one["metadata"].get("ownerReferences", [])
            left = [owner for owner in owners if owner["uid"] != uid]
            if left != owners:
                self.update(kind, one, {**one, "metadata": {**one["metadata"], "ownerReferences": left}})

    def _write(self, kind: Kind, old: dict | None, new: dict | None) -> dict:
        self.version += 1
        last = new if new is not None else old
        assert last is not None
        last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.version)}}
        meta = last["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers") and not last.get("spec", {}).get("finalizers"):
            new = None
        held = self._objects.setdefault((kind.group, kind.plural), {})
        key = (meta.get("namespace", ""), meta["name"])
        if new is None:
            held.pop(key, None)
        else:
            held[key] = last
        if kind == kinds.CRD and new is not None:
            self.kinds.define(last)
        change = Change(self.version, kind, old, None if new is None else last, last)
        self.changes.append(change)
        if len(self.changes) > KEPT:
            self.floor = self.changes[KEPT // 2].version
            del self.changes[: KEPT // 2 + 1]
        for listener in self.listeners:
            listener(change)
        return last


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def modified(kind: Kind, old: dict) -> Refused:
    told = "the object has been modified; please apply your changes to the latest version and try again"
    return Refused(
        409, "Conflict", f'Operation cannot be fulfilled on {kind.resource} "{old["metadata"]["name"]}": {told}'
    )


def _meta(kind: Kind, old: dict, given: dict) -> dict:
    """Metadata that a caller may write, with that which only the server writes."""
    before = old["metadata"]
    meta = _tidy(given)
    for name in (*OWN_META, "resourceVersion"):
        meta.pop(name, None)
        meta |= {name: before[name]} if name in before else {}
    meta.setdefault("managedFields", before.get("managedFields", []))
    if not meta["managedFields"]:
        del meta["managedFields"]
    added = set(meta.get("finalizers", [])) - set(before.get("finalizers", []))
    if added and "deletionTimestamp" in before:
        told = f"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
        raise Refused(422, "Invalid", f'{kind.name} "{before["name"]}" is invalid: {told}')
    return meta


def _tidy(meta: dict) -> dict:
    """Without what is empty."""
    return {key: value for key, value in meta.items() if value or key not in ("finalizers", "labels", "annotations")}


def _body(one: dict) -> dict:
    return {key: value for key, value in one.items() if key not in ("metadata", "status", "apiVersion", "kind")}


def _without_version(one: dict) -> dict:
    return {**one, "metadata": {key: value for key, value in one["metadata"].items() if key != "resourceVersion"}}


def _gone(kind: Kind, old: dict) -> dict:
    meta = old["metadata"]
    details = {"name": meta["name"], "kind": kind.plural, "group": kind.group, "uid": meta["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
