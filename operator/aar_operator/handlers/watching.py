"""kopf as a source of events: it watches the kinds that the cluster keeps and tells the cache what it saw.

It runs in a thread with a loop of its own, because at its end kopf cancels every task of its loop that it doesn't know.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf

from aar_operator.cluster import Manifest
from aar_operator.cluster.kinds import Kind

log = logging.getLogger(__name__)
AGAIN_SECONDS = 2.0
"""Before watching anew: kopf gives up after a minute of errors, or at once on some."""
STOP_SECONDS = 10.0
"""kopf needs up to a second to stop when it is idle, some more when events are under way."""

Saw = Callable[[str | None, Manifest], None]


class Watching:
    """Watches until it is told to stop; whatever ends kopf earlier, it is begun again."""

    def __init__(self, kept: list[Kind], saw: Saw) -> None:
        self._kept, self._saw = kept, saw
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(self._watch())
            except Exception as error:  # noqa: BLE001  the outermost loop: kopf ends with whatever its HTTP client raised
                log.warning("Watching ended (%r); it begins again in %.0f s.", error, AGAIN_SECONDS)
            self._stop.wait(AGAIN_SECONDS)

    async def _watch(self) -> None:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        for kind in self._kept:
            self._register(registry, kind)
        await kopf.operator(
            registry=registry, settings=_settings(self._kept), standalone=True, clusterwide=True, stop_flag=self._stop
        )

    def _register(self, registry: kopf.OperatorRegistry, kind: Kind) -> None:
        async def saw(event: kopf.RawEvent, **_: Any) -> None:
            named = {"apiVersion": kind.api_version, "kind": kind.name, **event["object"]}
            self._loop.call_soon_threadsafe(self._saw, event["type"], named)

        kopf.on.event(kind.group, kind.version, kind.plural, id=f"saw-{kind.plural}", registry=registry)(saw)


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_via_client(**kwargs)


def _settings(kept: list[Kind]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # kinds are known; looking for more would need more permissions
    for kind in kept:
        if kind.selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
    return settings
