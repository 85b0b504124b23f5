"""Entry points of the operator: `local` runs one campaign on this machine, `kubernetes` serves a cluster."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

from aar_api.errors import AarError, InvalidInput

from aar_operator import settings as settings_module
from aar_operator.cluster.local import LocalCluster
from aar_operator.cluster.local_ports import check_port
from aar_operator.local import load, lock, space
from aar_operator.local.errors import LocalError
from aar_operator.local.run import LocalRun
from aar_operator.local.voice import EXIT_ENVIRONMENT, EXIT_INPUT, Voice

NO_SANDBOX = (
    "On one machine researchers and experiments are ordinary processes, no sandbox: run only methods you trust. "
    "Labels, seeds and scores are kept apart by tokens, not by walls; a cluster gives the walls."
)


def main(arguments: list[str] | None = None) -> int:
    """Parse arguments and run; the exit code."""
    parser = argparse.ArgumentParser(prog="aar_operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    local = commands.add_parser("local", help="run one campaign on this machine; JSON lines on standard output")
    local.add_argument("--dir", type=Path, required=True, help="directory that keeps everything")
    local.add_argument("--campaign", type=Path, required=True, help="file with the ResearchCampaign")
    local.add_argument("--port", type=int, help="port of the hub's pages and metrics; a free one if absent")
    local.add_argument("--gpus", type=int, help="GPUs that experiments may use; all if absent")
    commands.add_parser("kubernetes", help="serve every campaign of a cluster; settings come from the environment")
    options = parser.parse_args(arguments)
    return run_kubernetes() if options.command == "kubernetes" else run_local(options)


def run_kubernetes() -> int:
    """Serve a cluster until SIGTERM; 0 then, 2 or 3 when it could not begin."""
    # Only here: kopf and the Kubernetes client take a second to import, and one machine needs neither.
    from aar_operator.handlers import serve

    return serve.main()


def run_local(options: argparse.Namespace) -> int:
    """One run; every way it can fail ends in one sentence and an exit code."""
    voice = Voice()
    try:
        return _run(options, voice)
    except InvalidInput as error:
        return _end(voice, str(error), EXIT_INPUT)
    except (LocalError, AarError) as error:
        return _end(voice, str(error), EXIT_ENVIRONMENT)
    except (OSError, sqlite3.OperationalError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "full" in str(error)
        way_out = (
            "free some space and run the same command again" if full else "correct that and run the same command again"
        )
        return _end(voice, f"{options.dir} cannot be used ({error}): {way_out}.", EXIT_ENVIRONMENT)


def _run(options: argparse.Namespace, voice: Voice) -> int:
    objects = load.read(options.campaign)
    folder: Path = options.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    space.check(folder)
    held = lock.hold(folder, voice.notice)
    try:
        logging.basicConfig(filename=folder / "operator.log", level=logging.INFO, format="%(asctime)s %(message)s")
        voice.notice(NO_SANDBOX)
        return asyncio.run(_drive(options, folder, objects, voice))
    finally:
        os.close(held)


async def _drive(options: argparse.Namespace, folder: Path, objects: list[dict[str, object]], voice: Voice) -> int:
    if options.port is not None:
        check_port(options.port)
    known = replace(settings_module.read(), one_machine=True)
    if not known.cache_dir:
        known = replace(known, cache_dir=str(folder / "cache"))
    gpus = options.gpus if options.gpus is not None else len(list(Path("/dev").glob("nvidia[0-9]*")))
    cluster = LocalCluster(
        folder,
        cores=known.cores,
        gpus=gpus,
        host_environment=known.host_environment,
        fixed_ports={} if options.port is None else {"operator": options.port},
    )
    run = LocalRun(folder, cluster, known, voice)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with contextlib.suppress(PermissionError):  # /dev/null or a file: nobody whose end could be noticed
        loop.add_reader(sys.stdin, _on_input, stop)
    try:
        return await run.run(objects, stop)
    finally:
        loop.remove_reader(sys.stdin)
        await run.close()


def _on_input(stop: asyncio.Event) -> None:
    """Standard input ends when whoever started this is gone."""
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


def _end(voice: Voice, message: str, code: int) -> int:
    voice.error(message)
    return code


if __name__ == "__main__":
    sys.exit(main())
