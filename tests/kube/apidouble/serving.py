"""The store over HTTP: paths, verbs, content types, pages of lists."""

from __future__ import annotations

import json
import uuid
from typing import Any

import yaml
from aiohttp import web
from kube.apidouble import merging
from kube.apidouble.discovery import discovery
from kube.apidouble.refusal import Refused, expired, no_route
from kube.apidouble.store import Store
from kube.apidouble.watching import Target, Watches

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
MANY = 16 * 2**20


class Http:
    def __init__(self, store: Store, token: str) -> None:
        self._store, self._token = store, token
        self._pages: dict[str, tuple[int, list[dict]]] = {}
        self.watches = Watches(store)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MANY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.headers.get("Authorization") != f"Bearer {self._token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            return await self._route(request)
        except Refused as refused:
            return web.json_response(refused.body(), status=refused.code)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        steps = request.path.strip("/").split("/")
        found = discovery(list(self._store.kinds), steps)
        if found is not None:
            return web.json_response(found)
        target, query = self._target(steps), request.query
        if "dryRun" in query or "fieldSelector" in query:
            raise Refused(400, "BadRequest", "This double knows no dry runs and no field selectors.")
        if request.method == "GET" and not target.name:
            if query.get("watch") in ("true", "1"):
                return await self.watches.serve(request, target)
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
