"""The process that watches: kopf as a source of events, each a line of JSON on standard output. It ends when standard input does.

A process of its own, since reading events is half of the operator's computing: as a thread it would hold up the other half, whose answers
to requests would wait for the interpreter. And kopf, at its end, cancels every task of its loop that it doesn't know.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any, BinaryIO

import kopf

from aar_operator import logs
from aar_operator import settings as settings_module
from aar_operator.cluster import kinds
from aar_operator.cluster.kinds import Kind
from aar_operator.cluster.slim import cut

IDLE_SECONDS = 0.1
"""How long kopf keeps an object, whole, after its last event: by default 5 s, in which a start lists thousands, 80 KB each."""
PAGE = 250
"""Objects of a list at a time; by default all."""


def main() -> int:
    """Watch until whoever began this is gone, or kopf gives up, as it does after a minute of errors, or at once on some."""
    settings = settings_module.read()
    logs.configure(settings.log_level, settings.log_format)
    out = _channel()
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    kept = kinds.kept(with_queues=bool(settings.cluster_queue))
    asyncio.run(_watch(kept, out))
    return 0


def _channel() -> BinaryIO:
    """Standard output for events alone: what a library prints goes to standard error."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # there is nothing to put in order, and kopf would take seconds


async def _watch(kept: list[Kind], out: BinaryIO) -> None:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for kind in kept:
        _register(registry, kind, out)
    await kopf.operator(registry=registry, settings=_settings(kept), standalone=True, clusterwide=True)


def _register(registry: kopf.OperatorRegistry, kind: Kind, out: BinaryIO) -> None:
    async def saw(event: kopf.RawEvent, **_: Any) -> None:
        named = cut({"apiVersion": kind.api_version, "kind": kind.name, **event["object"]})
        out.write(json.dumps([event["type"], named], separators=(",", ":")).encode() + b"\n")
        out.flush()

    kopf.on.event(kind.group, kind.version, kind.plural, id=f"saw-{kind.plural}", registry=registry)(saw)


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_via_client(**kwargs)


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing is compared: kopf would copy every object, at every event, for handlers of changes, which we have not."""

    def build(self, **_: Any) -> Any:
        """Nothing to compare."""
        return None

    def fetch(self, **_: Any) -> None:
        """Nothing was kept."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


def _settings(kept: list[Kind]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.watching.chunk_size = PAGE
    settings.scanning.disabled = True  # kinds are known; looking for more would need more permissions
    for kind in kept:
        if kind.selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
    return settings


if __name__ == "__main__":
    sys.exit(main())
