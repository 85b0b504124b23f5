"""The two HTTP applications of a hub: one for sandboxes, one for the operator, pages and metrics."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from aar_hub.gateway.service import Gateway
from aar_hub.hub import Hub
from aar_hub.pages import faults
from aar_hub.pages import routes as pages
from aar_hub.routes import _http, lab, metrics, operator, researcher


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


HEALTH = Route("/healthz", _healthz)


def sandbox(hub: Hub) -> Starlette:
    """What researchers and labs reach. `state.gateway` is closed by whoever serves it."""
    passed_on = Gateway(hub)
    messages: list[BaseRoute] = [Route("/v1/messages", passed_on), Route("/v1/messages/{rest:path}", passed_on)]
    app = _app(hub, [*messages, *lab.ROUTES, *researcher.ROUTES, HEALTH], _http.HANDLERS)
    app.state.gateway = passed_on
    return app


def control(hub: Hub) -> Starlette:
    """What the operator and people reach."""
    return _app(hub, [*operator.ROUTES, *metrics.ROUTES, HEALTH, *pages.ROUTES], faults.HANDLERS)


def _app(hub: Hub, routes: list[BaseRoute], handlers: dict[Any, Any]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.hub = hub
    return app
