"""The two HTTP applications of a hub: one for sandboxes, one for the operator, pages and metrics."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from aar_hub.hub import Hub
from aar_hub.routes import _http, lab, metrics, operator, researcher


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


HEALTH = Route("/healthz", _healthz)


def sandbox(hub: Hub) -> Starlette:
    """What researchers and labs reach."""
    return _app(hub, [*lab.ROUTES, *researcher.ROUTES, HEALTH])


def control(hub: Hub) -> Starlette:
    """What the operator and people reach."""
    return _app(hub, [*operator.ROUTES, *metrics.ROUTES, HEALTH])


def _app(hub: Hub, routes: list[BaseRoute]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers=_http.HANDLERS)
    app.state.hub = hub
    return app
