"""`python -m aar_hub.main`: serve one campaign until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
from aar_api.errors import AarError
from starlette.applications import Starlette

from aar_hub import app, hub, settings
from aar_hub.errors import StartError
from aar_hub.gateway import meter
from aar_hub.settings import Settings
from aar_hub.worker import Worker

LOG = logging.getLogger("aar_hub")
GRACE_SECONDS = 5
"""For requests under way at the end; what is cut off is asked again."""


class _Server(uvicorn.Server):
    """Leaves signals to this process: two servers share them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> int:
    """Exit 0 after SIGTERM or SIGINT, 1 if it cannot start, with a sentence on stderr."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(settings.read()))
    except (AarError, OSError) as error:
        sys.stderr.write(f"aar_hub: {error}\n")
        return 1
    return 0


async def serve(chosen: Settings) -> None:
    """Both ports and the worker, until a signal."""
    sockets = [_listen(chosen.host, port) for port in (chosen.sandbox_port, chosen.operator_port)]
    parts = hub.start(chosen)
    worker = Worker(parts)
    lost = meter.settle_lost(parts)
    if lost:
        LOG.warning("%s LLM calls of an earlier run were paid at what they held: their end was not seen", lost)
    sandbox = app.sandbox(parts)
    servers = [_server(sandbox), _server(app.control(parts))]
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, _stop, servers)
    worker.start()
    LOG.info("serving sandboxes on port %s, the operator on port %s", *(one.getsockname()[1] for one in sockets))
    try:
        await asyncio.gather(*(server.serve(sockets=[one]) for server, one in zip(servers, sockets, strict=True)))
    finally:
        await sandbox.state.gateway.close()
        await asyncio.to_thread(worker.stop)
        parts.db.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StartError(
            f"Port {port} on {host} cannot be listened on ({error.strerror}): free it, or choose another."
        ) from error
    # Connections inherit it. asyncio does not set it for sockets made this way, and without it an answer in two pieces takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _server(served: Starlette) -> _Server:
    config = uvicorn.Config(
        served, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, lifespan="off"
    )
    return _Server(config)


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
