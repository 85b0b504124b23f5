"""The store over HTTP: paths, verbs, content types, watches."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web
from kube.apidouble import merging
from kube.apidouble.kinds import Kind
from kube.apidouble.labels import matches
from kube.apidouble.refusal import Refused, expired, no_route
from kube.apidouble.store import Change, Store

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
WATCH_SECONDS = 1800.0
BOOKMARK_SECONDS = 10.0
MANY = 16 * 2**20


@dataclass(frozen=True)
class Target:
    """What a path is about."""

    kind: Kind
    namespace: str
    name: str
    part: str


class Http:
    def __init__(self, store: Store, token: str) -> None:
        self._store, self._token = store, token
        self._pages: dict[str, tuple[int, list[dict]]] = {}
        self._streams: set[asyncio.Queue[Change | None]] = set()
        store.listeners.append(self._tell)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MANY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    def hang_up(self) -> None:
        """Every watch ends."""
        for stream in self._streams:
            stream.put_nowait(None)

    def _tell(self, change: Change) -> None:
        for stream in self._streams:
            stream.put_nowait(change)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.headers.get("Authorization") != f"Bearer {self._token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            return await self._route(request)
        except Refused as refused:
            return web.json_response(refused.body(), status=refused.code)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        steps = request.path.strip("/").split("/")
        found = self._discovery(steps)
        if found is not None:
            return web.json_response(found)
        target, query = self._target(steps), request.query
        if "dryRun" in query or "fieldSelector" in query:
            raise Refused(400, "BadRequest", "This double knows no dry runs and no field selectors.")
        if request.method == "GET" and not target.name:
            if query.get("watch") in ("true", "1"):
                return await self._watch(request, target)
            return web.json_response(self._list(target, query))
        if request.method == "GET":
            return web.json_response(self._store.get(target.kind, target.namespace, target.name))
        status, answer = self._write(request.method, target, request, await _body(request))
        return web.json_response(answer, status=status)

    def _target(self, steps: list[str]) -> Target:
        group, version, *rest = ["", *steps[1:]] if steps[0] == "api" else steps[1:]
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces" and self._store.kinds.get(group, version, rest[2]):
            _, namespace, *rest = rest
        plural, name, part = (*rest, "", "", "")[:3]
        kind = self._store.kinds.get(group, version, plural)
        if kind is None or len(rest) > 3 or (part and not (part == "status" and kind.status)):
            raise no_route()
        return Target(kind, namespace, name, part)

    def _write(self, method: str, target: Target, request: web.Request, body: dict) -> tuple[int, dict]:
        kind, where, name, query = target.kind, target.namespace, target.name, request.query
        strict = query.get("fieldValidation") == "Strict"
        if method == "POST" and not name:
            return 201, self._store.create(kind, where, body, strict)
        if method == "DELETE" and name:
            options = {key: query[key] for key in ("propagationPolicy",) if key in query}
            return 200, self._store.delete(kind, where, name, {**options, **body})
        if method not in ("PUT", "PATCH") or not name:
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        if method == "PUT":
            old = self._store.get(kind, where, name)
            return 200, self._store.update(kind, old, body, target.part, strict)
        if request.content_type == APPLY and not target.part:
            manager, force = query.get("fieldManager", ""), query.get("force") == "true"
            if not manager:
                raise Refused(422, "Invalid", "PatchOptions is invalid: fieldManager: Required value: is required for apply patch")  # fmt: skip
            got, made = self._store.apply(kind, where, name, body, manager, force)
            return (201 if made else 200), got
        if request.content_type != MERGE:
            raise Refused(415, "UnsupportedMediaType", f"This double takes {MERGE} and, of whole objects, {APPLY}.")
        old = self._store.get(kind, where, name)
        return 200, self._store.update(kind, old, merging.merged(old, body), target.part, strict)

    def _list(self, target: Target, query: Any) -> dict:
        limit, token = int(query.get("limit", 0)), query.get("continue", "")
        if token:
            if token not in self._pages:
                raise Refused(410, "Expired", "The provided continue parameter is too old to display a consistent list result.")  # fmt: skip
            version, items = self._pages.pop(token)
            if version < self._store.floor:
                raise expired(version, self._store.floor)
        else:
            version = self._store.version
            items = self._store.list(target.kind, target.namespace, query.get("labelSelector", ""))
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        if limit and len(items) > limit:
            more = uuid.uuid4().hex
            self._pages[more] = (version, items[limit:])
            meta |= {"continue": more, "remainingItemCount": len(items) - limit}
            items = items[:limit]
        if target.kind.schema is None:  # a list of built-in kinds names the kind once
            items = [{key: value for key, value in one.items() if key not in ("apiVersion", "kind")} for one in items]
        return {
            "apiVersion": target.kind.api_version,
            "kind": f"{target.kind.name}List",
            "metadata": meta,
            "items": items,
        }

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
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
            try:
                change = await asyncio.wait_for(stream.get(), min(left, BOOKMARK_SECONDS, max(left - 1, 0.05)))
            except TimeoutError:
                if query.get("allowWatchBookmarks") == "true":
                    await _send(response, _bookmark(target.kind, self._store.version))
                continue
            if change is None:
                return
            event = _event(change, target, query.get("labelSelector", ""))
            if event is not None:
                await _send(response, event)

    def _discovery(self, steps: list[str]) -> dict | None:
        kinds = list(self._store.kinds)
        if steps in (["version"], ["readyz"], ["healthz"], ["livez"]):
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.0-double"}
        if steps == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if steps == ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(one) for one in _groups(kinds)]}
        served = [one for one in kinds if _base(one) == steps]
        if not served:
            return None
        resources = [entry for one in served for entry in _resources(one)]
        head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": served[0].api_version}
        return {**head, "resources": resources}


def _base(kind: Kind) -> list[str]:
    return ["apis", kind.group, kind.version] if kind.group else ["api", kind.version]


def _groups(kinds: list[Kind]) -> list[tuple[str, str]]:
    return sorted({(one.group, one.version) for one in kinds if one.group})


def _group(named: tuple[str, str]) -> dict:
    version = {"groupVersion": "/".join(named), "version": named[1]}
    return {"name": named[0], "versions": [version], "preferredVersion": version}


def _resources(kind: Kind) -> list[dict]:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    one = {"name": kind.plural, "singularName": kind.name.lower(), "namespaced": kind.namespaced, "kind": kind.name}
    status = {**one, "name": f"{kind.plural}/status", "verbs": ["get", "patch", "update"]}
    return [{**one, "verbs": verbs}, *([status] if kind.status else [])]


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


async def _body(request: web.Request) -> dict:
    data = await request.read()
    if not data:
        return {}
    try:
        return dict(json.loads(data))
    except ValueError:
        if request.content_type != APPLY:
            raise Refused(400, "BadRequest", "The body is no JSON object.") from None
        return dict(yaml.safe_load(data))
