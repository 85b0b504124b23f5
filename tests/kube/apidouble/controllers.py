"""What a controller manager does, in rounds: namespaces end, orphans go, Jobs run, quotas are counted."""

from __future__ import annotations

import asyncio
import contextlib

from kube.apidouble import admission, kinds
from kube.apidouble.jobs import Jobs
from kube.apidouble.store import Change, Store

PAUSE = 0.02
"""Seconds in which changes gather: the real one is no faster."""
TICK = 0.5
"""Seconds until a deadline is noticed."""


class Controllers:
    def __init__(self, store: Store) -> None:
        self._store, self._jobs = store, Jobs(store)
        self._news = asyncio.Event()
        self._gone: set[str] = set()
        store.listeners.append(self._saw)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), TICK)
            await asyncio.sleep(PAUSE)
            self._news.clear()
            self.step()

    def step(self) -> None:
        self._collect()
        self._jobs.step()
        self._end_namespaces()
        self._count_quotas()

    def _saw(self, change: Change) -> None:
        if change.new is None:
            self._gone.add(change.last["metadata"]["uid"])
        self._news.set()

    def _collect(self) -> None:
        """Delete what only gone objects own."""
        gone, self._gone = self._gone, set()
        for kind, one in self._store.everything() if gone else ():
            meta = one["metadata"]
            owners = {owner["uid"] for owner in meta.get("ownerReferences", [])}
            if owners & gone and not self._alive(owners - gone):
                self._store.delete(kind, meta.get("namespace", ""), meta["name"], {"propagationPolicy": "Background"})

    def _alive(self, uids: set[str]) -> bool:
        return bool(uids) and any(one["metadata"]["uid"] in uids for _, one in self._store.everything())

    def _end_namespaces(self) -> None:
        ending = {
            one["metadata"]["name"]: one
            for one in self._store.list(kinds.NAMESPACE)
            if "deletionTimestamp" in one["metadata"]
        }
        if not ending:
            return
        for kind, one in self._store.everything():
            meta = one["metadata"]
            if meta.get("namespace") in ending:
                self._store.delete(kind, meta["namespace"], meta["name"], {"propagationPolicy": "Background"})
        full = {one["metadata"].get("namespace") for _, one in self._store.everything()}
        for name, space in ending.items():
            if name not in full:
                self._store.end(kinds.NAMESPACE, space)

    def _count_quotas(self) -> None:
        for quota in self._store.list(kinds.QUOTA):
            hard, namespace = quota["spec"].get("hard", {}), quota["metadata"]["namespace"]
            counts = {name: admission.usage(self._store, namespace, name) for name in hard}
            used = {name: str(count) for name, count in counts.items() if count is not None}
            status = {"hard": hard, "used": used}
            if status != quota.get("status"):
                self._store.update(kinds.QUOTA, quota, {**quota, "status": status}, "status")
