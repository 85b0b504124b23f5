"""From a request to a caller and a body, and from a value or an error to an answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aar_api.base import Model
from aar_api.wire import ErrorBody
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aar_hub import auth
from aar_hub.auth import Caller
from aar_hub.errors import Forbidden, HubError, Refused, TooLarge
from aar_hub.hub import Hub

LOG = logging.getLogger("aar_hub.http")
MAX_JSON_BYTES = 4 << 20
"""A snapshot of the largest size, escaped, and room to spare."""
CRASH = "The hub failed at this request: its log says why; the same request may be sent again."
NO_CONTENT = Response(status_code=204)

Endpoint = Callable[["Call"], Any]
T = TypeVar("T")


class Call:
    """A request that has been let in: who calls, what the path names, and the body."""

    def __init__(self, hub: Hub, caller: Caller, request: Request, body: bytes) -> None:
        self.hub, self.caller, self.body = hub, caller, body
        self._request = request

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self._request.path_params[name])

    def number(self, name: str, default: int | None = None) -> int:
        """A number of the query.

        Raises:
            HubError: it is missing or no number.
        """
        text = self._request.query_params.get(name)
        if text is None and default is not None:
            return default
        if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
            raise HubError(
                "InvalidRequest", f"{name} is {text!r}, but a number from 0 is wanted: add ?{name}=0 to the address."
            )
        return int(text)

    def word(self, name: str) -> str | None:
        """A word of the query, if it is there."""
        return self._request.query_params.get(name)

    def read(self, kind: type[T]) -> T:
        """The body as a model.

        Raises:
            Refused: it is not one; the sentence names the first field that is wrong.
        """
        try:
            return TypeAdapter(kind).validate_json(self.body)
        except ValidationError as error:
            raise Refused("InvalidRequest", first_mistake(error)) from error


def first_mistake(error: ValidationError) -> str:
    """The first field that is wrong, as a sentence."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the body"
    return f"{where}: {first['msg']} (given: {_short(first['input'])})."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def route(verb: str, path: str, roles: Sequence[str], endpoint: Endpoint, *, limit: int = MAX_JSON_BYTES) -> Route:
    """A route for these roles. The endpoint runs in a thread: it may wait for the database."""

    async def handle(request: Request) -> Response:
        hub: Hub = request.app.state.hub
        caller = await run_in_threadpool(auth.authenticate, hub, request.headers.get("authorization", ""))
        if caller.role not in roles:
            raise Forbidden(
                "Forbidden", f"The role {caller.role!r} may not {verb} {path}: it is for {', '.join(roles)}."
            )
        body = await read_body(request, limit)  # only now: a stranger cannot fill the memory
        return answer(await run_in_threadpool(endpoint, Call(hub, caller, request, body)))

    return Route(path, handle, methods=[verb])


async def read_body(request: Request, limit: int) -> bytes:
    """The body.

    Raises:
        TooLarge: it exceeds the limit in bytes.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge("TooLarge", f"The body exceeds {limit} bytes: send less.")
        parts.append(part)
    return b"".join(parts)


def answer(value: Any) -> Response:
    """A value as an answer: models as JSON, bytes as a tar, none as 204."""
    if isinstance(value, Response):
        return value
    if value is None:
        return NO_CONTENT
    if isinstance(value, bytes):
        return Response(value, media_type="application/x-tar")
    if isinstance(value, Model):
        return _json(value.dump())
    return _json([one.dump() for one in value])


def _json(value: Any) -> Response:
    return Response(json.dumps(value, ensure_ascii=False, allow_nan=False), media_type="application/json")


async def on_hub_error(_: Request, error: Exception) -> Response:
    """A HubError with its status."""
    assert isinstance(error, HubError)
    return JSONResponse(ErrorBody(reason=error.reason, message=str(error)).dump(), error.status)


async def on_http_error(request: Request, error: Exception) -> Response:
    """No such route, or not with this verb."""
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path} is no route of this port: see aar_api.wire."
    return JSONResponse(ErrorBody(reason="NotFound", message=text).dump(), error.status_code)


async def on_crash(request: Request, error: Exception) -> Response:
    """A fault of the hub's own; the log has it whole."""
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(ErrorBody(reason="Internal", message=CRASH).dump(), 500)


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HubError: on_hub_error,
    HTTPException: on_http_error,
    Exception: on_crash,
}
