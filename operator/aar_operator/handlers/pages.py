"""/metrics, /healthz and /readyz over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from aar_operator.metrics import Metrics

Check = Callable[[], str]
"""Empty if all is well, else a sentence."""


class Pages:
    """A small server on every address of the pod."""

    def __init__(self, metrics: Metrics, healthy: Check, ready: Check) -> None:
        self._metrics = metrics
        app = web.Application()
        app.router.add_get("/metrics", self._text)
        app.router.add_get("/healthz", _checked(healthy))
        app.router.add_get("/readyz", _checked(ready))
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, port: int) -> int:
        """Listen; the port, chosen by the system if 0 is given."""
        await self._runner.setup()
        # A port that the system chooses would differ between the families of addresses, and is wanted on one machine only.
        await web.TCPSite(self._runner, host=None if port else "127.0.0.1", port=port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()

    async def _text(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


def _checked(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        wrong = check()
        return web.Response(text=wrong or "ok", status=503 if wrong else 200)

    return answer
