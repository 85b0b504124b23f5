"""Watches: what is there, what was missed, what happens; bookmarks; and when a watch ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from kube.apidouble.kinds import Kind
from kube.apidouble.labels import matches
from kube.apidouble.refusal import Refused
from kube.apidouble.store import Change, Store

WATCH_SECONDS = 1800.0
BOOKMARK_SECONDS = 10.0


@dataclass(frozen=True)
class Target:
    """What a path is about."""

    kind: Kind
    namespace: str
    name: str
    part: str


class Watches:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._streams: set[asyncio.Queue[Change | None]] = set()
        store.listeners.append(self._tell)

    def hang_up(self) -> None:
        """Every watch ends."""
        for stream in self._streams:
            stream.put_nowait(None)

    def _tell(self, change: Change) -> None:
        for stream in self._streams:
            stream.put_nowait(change)

    async def serve(self, request: web.Request, target: Target) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        stream: asyncio.Queue[Change | None] = asyncio.Queue()
        self._streams.add(stream)
        try:
            first = self._first(request.query, target)
            await response.prepare(request)
            for event in first:
                await _send(response, event)
            if not first or first[-1]["type"] != "ERROR":
                await self._stream(request, response, target, stream)
        except ConnectionError:
            pass
        finally:
            self._streams.discard(stream)
        return response

    def _first(self, query: Any, target: Target) -> list[dict]:
        """Events of what is there or what was missed."""
        asked = query.get("resourceVersion", "")
        selector = query.get("labelSelector", "")
        if asked in ("", "0") or query.get("sendInitialEvents") == "true":
            there = self._store.list(target.kind, target.namespace, selector)
            end = _bookmark(target.kind, self._store.version, {"k8s.io/initial-events-end": "true"})
            return [{"type": "ADDED", "object": one} for one in there] + (
                [end] if query.get("sendInitialEvents") == "true" else []
            )
        try:
            missed = list(self._store.since(int(asked)))
        except Refused as refused:
            return [{"type": "ERROR", "object": refused.body()}]
        told = (_event(one, target, selector) for one in missed)
        return [event for event in told if event is not None]

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, target: Target, stream: asyncio.Queue[Change | None]
    ) -> None:
        loop, query = asyncio.get_running_loop(), request.query
        end = loop.time() + float(query.get("timeoutSeconds", WATCH_SECONDS))
        while (left := end - loop.time()) > 0:
            quiet = min(BOOKMARK_SECONDS, left - 1 if left > 1 else left)
            try:
                change = await asyncio.wait_for(stream.get(), quiet)
            except TimeoutError:
                if query.get("allowWatchBookmarks") == "true":
                    await _send(response, _bookmark(target.kind, self._store.version))
                continue
            if change is None:
                return
            event = _event(change, target, query.get("labelSelector", ""))
            if event is not None:
                await _send(response, event)


def _event(change: Change, target: Target, selector: str) -> dict | None:
    """What a watch of some objects says of a change: those that begin or cease to match come and go."""
    meta = change.last["metadata"]
    if (change.kind.group, change.kind.plural) != (target.kind.group, target.kind.plural):
        return None
    if target.namespace and meta.get("namespace") != target.namespace:
        return None
    was = change.old is not None and matches(selector, change.old["metadata"].get("labels") or {})
    now = change.new is not None and matches(selector, meta.get("labels") or {})
    if not was and not now:
        return None
    kind = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
    return {"type": kind, "object": change.last}


def _bookmark(kind: Kind, version: int, notes: dict[str, str] | None = None) -> dict:
    meta: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    meta |= {"annotations": notes} if notes else {}
    return {"type": "BOOKMARK", "object": {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta}}


async def _send(response: web.StreamResponse, event: dict) -> None:
    await response.write(json.dumps(event).encode() + b"\n")
