"""The process around an Operator: settings, log, connection, signals, exit code."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from aar_api.errors import InvalidInput

from aar_operator import logs
from aar_operator import settings as settings_module
from aar_operator.cluster import ClusterError
from aar_operator.cluster.client import Client
from aar_operator.handlers.operator import Operator
from aar_operator.metrics import Metrics
from aar_operator.settings import Settings

log = logging.getLogger(__name__)
EXIT_STOPPED, EXIT_INPUT, EXIT_ENVIRONMENT = 0, 2, 3


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    try:
        settings = settings_module.read()
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_INPUT
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(_serve(settings))
    except ClusterError as error:
        log.error("%s", error)
        return EXIT_ENVIRONMENT
    return EXIT_STOPPED


async def _serve(settings: Settings) -> None:
    metrics = Metrics()
    client = await Client.connect(metrics.counted)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await Operator(settings, client, metrics).run(stop)
    finally:
        await client.close()
