"""Kubernetes Events: what happened to an object, each thing once and then counted."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime

from aar_api import labels, names

from aar_operator.cluster import Exists, Manifest
from aar_operator.cluster.client import Client
from aar_operator.cluster.kinds import EVENTS

SILENCE_SECONDS = 600.0
"""The same about the same is written again after this at the earliest; API servers forget events after an hour."""
REMEMBERED = 10_000
MOST_NOTE = 1024
"""Characters of an event's note that the API takes."""


class Journal:
    """Writes events of group events.k8s.io."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._written: OrderedDict[str, float] = OrderedDict()

    async def record(self, about: Manifest, kind: str, reason: str, note: str) -> None:
        """Write an event, or count it again.

        Raises:
            ClusterError: it was not written.
        """
        meta = about["metadata"]
        name = f"{meta['name']}.{names.short_hash(meta['uid'], kind, reason, note, length=16)}"
        before = self._written.get(name)
        if before is not None and time.monotonic() - before < SILENCE_SECONDS:
            return
        path = EVENTS.path(meta["namespace"])
        try:
            await self._client.create(path, _event(about, name, kind, reason, note))
        except Exists:
            await self._again(f"{path}/{name}")
        self._written[name] = time.monotonic()
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    async def _again(self, path: str) -> None:
        series = (await self._client.get(path)).get("series") or {"count": 1}
        again = {"count": series["count"] + 1, "lastObservedTime": _micro_time()}
        await self._client.merge(path, {"series": again})


def _event(about: Manifest, name: str, kind: str, reason: str, note: str) -> Manifest:
    meta = about["metadata"]
    regarding = {
        "apiVersion": about["apiVersion"],
        "kind": about["kind"],
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.name,
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "eventTime": _micro_time(),
        "type": kind,
        "reason": reason,
        "action": "Reconcile",
        "note": note if len(note) <= MOST_NOTE else f"{note[: MOST_NOTE - 1]}…",
        "regarding": regarding,
        "reportingController": f"{labels.GROUP}/{labels.FIELD_MANAGER}",
        "reportingInstance": labels.FIELD_MANAGER,
    }


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
