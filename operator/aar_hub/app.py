"""The two HTTP applications of a hub: one for sandboxes, one for the operator, pages and metrics."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from aar_hub.gateway.service import MESSAGES, Gateway
from aar_hub.hub import Hub
from aar_hub.pages import faults
from aar_hub.pages import routes as pages
from aar_hub.routes import _http, lab, metrics, operator, researcher


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


HEALTH = Route("/healthz", _healthz)


class _Sandbox(Starlette):
    """LLM calls go to the gateway at once: middleware and routing take a tenth of what it takes itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["path"].startswith(MESSAGES):
            await self.state.gateway(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def sandbox(hub: Hub) -> Starlette:
    """What researchers and labs reach. `state.gateway` is closed by whoever serves it."""
    passed_on = Gateway(hub)
    app = _Sandbox(routes=[*lab.ROUTES, *researcher.ROUTES, HEALTH], exception_handlers=_http.HANDLERS)
    app.state.hub, app.state.gateway = hub, passed_on
    return app


def control(hub: Hub) -> Starlette:
    """What the operator and people reach."""
    return _app(hub, [*operator.ROUTES, *metrics.ROUTES, HEALTH, *pages.ROUTES], faults.HANDLERS)


def _app(hub: Hub, routes: list[BaseRoute], handlers: dict[Any, Any]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.hub = hub
    return app
