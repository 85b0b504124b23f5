"""The double as a server of its own thread, with what a control plane of processes offers to tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web
from kube.apidouble.controllers import Controllers
from kube.apidouble.serving import Http
from kube.apidouble.store import Store
from kube.world import Api

TOKEN = "double-admin"


class Double:
    """One; `start` before anything else."""

    real, lasting = False, False

    def __init__(self, folder: Path) -> None:
        self.folder, self.token = folder, TOKEN
        self.kubeconfig = folder / "kubeconfig"
        self.url = ""
        self._store: Store
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api double", daemon=True)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._do(self._begin())
        self.url = f"http://127.0.0.1:{self._port}"
        self.kubeconfig.write_text(json.dumps(kubeconfig(self.url, self.token)))

    def api(self) -> Api:
        return Api(self.url, self.token)

    def kill_api(self) -> None:
        """Every connection breaks, and nobody listens any more; what was stored is kept."""
        self._do(self._hush())

    def start_api(self) -> None:
        self._do(self._listen())

    def wait(self) -> None:
        """It listens as soon as it was started."""

    def compact(self) -> None:
        """Versions of the past can no longer be asked for."""
        self._loop.call_soon_threadsafe(self._store.compact)

    def stop(self) -> None:
        self._do(self._hush())
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _begin(self) -> None:
        self._store = Store()
        self._controllers = asyncio.create_task(Controllers(self._store).run())
        self._http = Http(self._store, self.token)
        await self._listen()

    async def _listen(self) -> None:
        self._runner = web.AppRunner(self._http.app(), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = int(self._runner.addresses[0][1])

    async def _hush(self) -> None:
        self._http.watches.hang_up()
        await self._runner.cleanup()

    async def _end(self) -> None:
        """A mistake of a controller is a failure of the run, not a silence."""
        self._controllers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._controllers


def kubeconfig(url: str, token: str, **cluster: object) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
