"""What Prometheus scrapes."""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aar_hub import metrics


async def _metrics(request: Request) -> Response:
    body = await run_in_threadpool(metrics.page, request.app.state.hub)
    return Response(body, media_type=CONTENT_TYPE_LATEST)


ROUTES = [Route("/metrics", _metrics)]
