"""Errors of the operator port: JSON for programs, a page with the sentence for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aar_hub.errors import HubError
from aar_hub.pages import render
from aar_hub.routes import _http

Handler = Callable[[Request, Exception], Awaitable[Response]]
PROGRAMS = ("/v1/", "/metrics", "/healthz")
TITLES = {401: "A token is needed", 403: "Not allowed", 404: "Not found", 409: "Not yet", 500: "The hub failed"}


def _page(status: int, text: str) -> Response:
    title = TITLES.get(status, "This cannot be done")
    return render.html("fault.html", status, title=title, text=text)


async def on_hub_error(_: Request, error: Exception) -> Response:
    """A HubError with its status."""
    assert isinstance(error, HubError)
    return _page(error.status, str(error))


async def on_http_error(request: Request, error: Exception) -> Response:
    """No such page, or not to be sent to."""
    assert isinstance(error, HTTPException)
    return _page(
        error.status_code,
        f"{request.method} {request.url.path} is no page of this hub: the list above has all of them.",
    )


async def on_crash(request: Request, error: Exception) -> Response:
    """A fault of the hub's own; the log has it whole."""
    answer = await _http.on_crash(request, error)
    return _page(answer.status_code, _http.CRASH)


def _for_both(program: Handler, person: Handler) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        chosen = program if request.url.path.startswith(PROGRAMS) else person
        return await chosen(request, error)

    return handle


HANDLERS: dict[Any, Handler] = {
    HubError: _for_both(_http.on_hub_error, on_hub_error),
    HTTPException: _for_both(_http.on_http_error, on_http_error),
    Exception: _for_both(_http.on_crash, on_crash),
}
