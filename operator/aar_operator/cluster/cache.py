"""What the cluster last said: fed by watch events and by our own writes, replaced by a list now and then.

A watch can lose the end of an object (kopf tells of no deletion that fell into a gap), so only a list is the whole truth.
Versions are compared as numbers, which Kubernetes has promised since 1.35 and etcd has always given.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping

from aar_api import labels

from aar_operator.cluster import Manifest, Ref
from aar_operator.cluster.slim import same, slim

JOB_NAME = "batch.kubernetes.io/job-name"
INDEXED = (labels.EXPERIMENT_UID, labels.EXPERIMENT, labels.CAMPAIGN_UID, labels.WORKLOAD_JOB, JOB_NAME)
"""Labels by which objects are looked for, most telling first: a scan of thousands for each would grow with their square."""
GRAVES = 10_000
"""Deleted objects that are remembered, so that a late answer doesn't bring one back."""

Changed = Callable[[Ref, Manifest], None]
"""Told of an object that changed, or that is gone, with what is last known of it."""


class Cache:
    """Objects by kind, namespace and name."""

    def __init__(self, changed: Changed = lambda ref, manifest: None) -> None:
        self._objects: dict[str, dict[Ref, Manifest]] = defaultdict(dict)
        self._index: dict[tuple[str, str, str], set[Ref]] = defaultdict(set)
        self._graves: OrderedDict[Ref, int] = OrderedDict()
        self.changed = changed

    def get(self, ref: Ref) -> Manifest | None:
        """The object, or none."""
        return self._objects[ref.kind].get(ref)

    def find(self, kind: str, marks: Mapping[str, str], namespace: str | None) -> list[Manifest]:
        """Objects with all these labels, by namespace and name."""
        refs: Iterable[Ref] = self._objects[kind]
        for key in INDEXED:
            if key in marks:
                refs = self._index.get((kind, key, marks[key]), ())
                break
        else:
            if namespace is not None:
                refs = self._index.get((kind, "", namespace), ())
        objects = self._objects[kind]
        return [
            objects[ref] for ref in sorted(refs) if namespace in (None, ref.namespace) and _carries(objects[ref], marks)
        ]

    def put(self, manifest: Manifest) -> None:
        """An object as a watch or an answer tells it; an older version than the known one is no news. What is read of it is kept."""
        ref, version = Ref.of(manifest), version_of(manifest)
        old = self.get(ref)
        if (old is not None and version_of(old) >= version) or self._graves.get(ref, -1) >= version:
            return
        if old is not None:
            self._forget(ref, old)
        manifest = slim(manifest)
        self._objects[ref.kind][ref] = manifest
        for key in _keys(ref, manifest):
            self._index[key].add(ref)
        if old is None or not same(old, manifest):
            self.changed(ref, manifest)

    def drop(self, manifest: Manifest) -> None:
        """An object that is gone, as it was last."""
        ref, version = Ref.of(manifest), version_of(manifest)
        self._graves[ref] = max(version, self._graves.get(ref, -1))
        while len(self._graves) > GRAVES:
            self._graves.popitem(last=False)
        old = self.get(ref)
        if old is None or version_of(old) > version:
            return
        self._forget(ref, old)
        self.changed(ref, old)

    def replace(self, kind: str, items: Iterable[Manifest], version: int) -> None:
        """A whole list as of a version; what is newer than the list stays."""
        listed = {Ref.of(one): one for one in items}
        for one in listed.values():
            self.put(one)
        gone = [one for ref, one in self._objects[kind].items() if ref not in listed and version_of(one) <= version]
        for one in gone:
            self.drop(one)

    def _forget(self, ref: Ref, old: Manifest) -> None:
        self._objects[ref.kind].pop(ref, None)
        for key in _keys(ref, old):
            refs = self._index[key]
            refs.discard(ref)
            if not refs:
                del self._index[key]


def version_of(manifest: Manifest) -> int:
    """The resourceVersion."""
    return int(manifest["metadata"]["resourceVersion"])


def _keys(ref: Ref, manifest: Manifest) -> list[tuple[str, str, str]]:
    carried = manifest["metadata"].get("labels") or {}
    return [(ref.kind, "", ref.namespace), *((ref.kind, key, carried[key]) for key in INDEXED if key in carried)]


def _carries(manifest: Manifest, marks: Mapping[str, str]) -> bool:
    carried = manifest["metadata"].get("labels") or {}
    return all(carried.get(key) == value for key, value in marks.items())
