"""The least that speaks to an API server: aiohttp, JSON, nothing typed. The load, the observer and the floor use it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.kube.world import way_in

CONNECTIONS = 64
LINE_BYTES = 4 * 2**20
"""An object, with which a line of a watch ends: etcd takes 1.5 MiB."""
BUSY = (429, 503)
BUSY_SECONDS = 0.5

Object = dict[str, Any]


class Bare:
    """One API server, as an administrator."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, kubeconfig: Path, folder: Path) -> AsyncIterator[Bare]:
        way = way_in(kubeconfig, folder)
        headers = {"Authorization": f"Bearer {way.token}"} if way.token else {}
        connector = aiohttp.TCPConnector(ssl=way.context, limit=CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
        async with aiohttp.ClientSession(
            way.url, headers=headers, connector=connector, timeout=timeout, read_bufsize=LINE_BYTES, trust_env=False
        ) as session:
            yield cls(session)

    async def send(self, method: str, path: str, body: Object | None = None, **query: str) -> tuple[int, Object]:
        """Code and answer; a server that is busy is asked again."""
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        while True:
            async with self._session.request(
                method, path, data=data, params=query, headers={"Content-Type": content}
            ) as answer:
                if answer.status not in BUSY:
                    return answer.status, json.loads(await answer.read())
            await asyncio.sleep(BUSY_SECONDS)

    async def need(self, method: str, path: str, body: Object | None = None, **query: str) -> Object:
        """The answer of a request that has to succeed."""
        code, got = await self.send(method, path, body, **query)
        assert code < 400, f"{method} {path} was answered {code}: {got.get('message')}"
        return got

    async def items(self, path: str, **query: str) -> tuple[list[Object], str]:
        """Everything in a collection, and the version to watch it from."""
        found: list[Object] = []
        more = {"limit": "500"}
        while True:
            page = await self.need("GET", path, **query, **more)
            found += page["items"]
            if not page["metadata"].get("continue"):
                return found, page["metadata"]["resourceVersion"]
            more["continue"] = page["metadata"]["continue"]

    async def added(self, path: str, version: str, **query: str) -> AsyncIterator[Object]:
        """Objects as they are made after a version; changes are not even parsed."""
        query |= {"watch": "1", "resourceVersion": version}
        async with self._session.get(path, params=query) as answer:
            assert answer.status == 200, f"{path} cannot be watched: {answer.status}"
            while line := await answer.content.readline():
                if line.startswith(b'{"type":"ADDED"'):
                    yield json.loads(line)["object"]
