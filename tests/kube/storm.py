"""A proxy before an API server that lets some requests fail and watches break, over real HTTP: what a bad day does to a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from kube.apidouble.process import kubeconfig
from kube.apidouble.refusal import Refused
from kube.world import Api

PASSED = ("Authorization", "Content-Type", "Accept")
REFUSALS = (
    Refused(429, "TooManyRequests", "too many requests, please try again later"),
    Refused(500, "InternalError", "etcdserver: leader changed"),
    Refused(503, "ServiceUnavailable", "apiserver is shutting down"),
    Refused(504, "Timeout", "request did not complete within the allotted timeout"),
)
MODIFIED = Refused(409, "Conflict", "Operation cannot be fulfilled: the object has been modified")
GONE = Refused(410, "Expired", "too old resource version")


@dataclass
class Weather:
    """What goes wrong; counted requests are told apart from watches."""

    every: int = 0
    """Every so many requests fail, each in another way; half of those that fail were carried out before. 0: none."""
    conflict_every: int = 0
    """Every so many writes of objects that are there are said to have met another's."""
    watch_seconds: float = 0.0
    """Watches are cut after this. 0: they are not."""
    gone_every: int = 0
    """Every so many watches are told that their version is too old."""
    deaf: bool = False
    """Watches tell of no deletion, as when each of them fell into a gap."""
    seen: Counter[str] = field(default_factory=Counter)
    """What was done, by word."""
    made: Counter[str] = field(default_factory=Counter)
    """Collection/name -> times that the server made it."""


class Storm:
    def __init__(self, api: Api, weather: Weather) -> None:
        self.weather = weather
        self._target, self._headers = str(api.http.base_url).rstrip("/"), dict(api.http.headers)
        self._requests = self._writes = self._watches = 0
        self._client: aiohttp.ClientSession

    async def serve(self) -> web.AppRunner:
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=0))
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def close(self) -> None:
        await self._client.close()
        watches = asyncio.all_tasks() - {asyncio.current_task()}  # that the runner did not wait for
        for one in watches:
            one.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request)
        refusal, late = self._refusal(request)
        if refusal is not None and not late:
            return self._refuse(refusal)
        async with self._send(request, await request.read()) as answer:
            data = await answer.read()
            if request.method == "POST" and answer.status == 201:
                self.weather.made[f"{request.path}/{json.loads(data)['metadata']['name']}"] += 1
            if refusal is not None:
                return self._refuse(refusal)
            return web.Response(body=data, status=answer.status, content_type="application/json")

    def _refusal(self, request: web.Request) -> tuple[Refused | None, bool]:
        """How a request fails, if it does, and whether only after it was carried out."""
        self._requests += 1
        weather = self.weather
        if weather.every and self._requests % weather.every == 0:
            number = self._requests // weather.every
            return REFUSALS[number % len(REFUSALS)], number % 2 == 0
        if request.method in ("PUT", "PATCH"):
            self._writes += 1
            if weather.conflict_every and self._writes % weather.conflict_every == 0:
                return MODIFIED, False
        return None, False

    def _refuse(self, refusal: Refused) -> web.Response:
        self.weather.seen[str(refusal.code)] += 1
        headers = {"Retry-After": "1"} if refusal.code == 429 else {}
        return web.json_response(refusal.body(), status=refusal.code, headers=headers)

    def _send(self, request: web.Request, data: bytes) -> aiohttp.client._RequestContextManager:
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        url = self._target + request.path_qs
        return self._client.request(request.method, url, data=data or None, headers=headers)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self._watches += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if self.weather.gone_every and self._watches % self.weather.gone_every == 0:
            await response.prepare(request)
            self.weather.seen["410"] += 1
            await response.write(json.dumps({"type": "ERROR", "object": GONE.body()}).encode() + b"\n")
            return response
        with contextlib.suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
            async with asyncio.timeout(self.weather.watch_seconds or None), self._send(request, b"") as answer:
                response.set_status(answer.status)
                await response.prepare(request)
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if self._told(line):
                            await response.write(line + b"\n")
        if self.weather.watch_seconds and request.transport is not None:
            self.weather.seen["cut"] += 1
            request.transport.abort()
        return response

    def _told(self, line: bytes) -> bool:
        lost = self.weather.deaf and b'"DELETED"' in line[:24]
        self.weather.seen["deletion"] += lost
        return not lost


@contextlib.contextmanager
def blowing(api: Api, weather: Weather, folder: Path) -> Iterator[Path]:
    """The kubeconfig that leads through it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="storm", daemon=True)
    thread.start()
    storm = Storm(api, weather)
    runner = asyncio.run_coroutine_threadsafe(storm.serve(), loop).result(30)
    path = folder / "through-the-storm"
    token = api.http.headers["Authorization"].removeprefix("Bearer ")
    path.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{runner.addresses[0][1]}", token)))
    try:
        yield path
    finally:
        for last in (runner.cleanup(), storm.close()):
            asyncio.run_coroutine_threadsafe(last, loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
