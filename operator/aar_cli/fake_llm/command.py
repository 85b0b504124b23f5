"""`aar fake-llm`: the double as a process of its own."""

from __future__ import annotations

import argparse
import signal
import threading

from rich.console import Console

from aar_cli.errors import EXIT_COMPLETE, CliError
from aar_cli.fake_llm import script, server
from aar_cli.fake_llm.server import FakeLLM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What a double is told."""
    parser.add_argument(
        "--script", default="competent", help="a file, or one that is shipped: cheating, competent, lazy"
    )
    parser.add_argument("--port", type=int, default=0, help="default a free one")
    parser.add_argument(
        "--host", default=server.LOOPBACK, help="address to listen at; 0.0.0.0 lets other machines in; default loopback"
    )


def serve(options: argparse.Namespace, console: Console) -> int:
    """Play a script until Ctrl-C; the exit code.

    Raises:
        BadFile: there is no such script, or it breaks a rule.
        CliError: the port is taken.
    """
    fake = FakeLLM(script.load(options.script))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with server.serving(fake, options.port, options.host) as url:
            console.print(f"{url} plays {options.script}: {fake.script.about}", highlight=False, soft_wrap=True)
            stop.wait()
    except OSError as error:
        raise CliError(
            f"{options.host}:{options.port} cannot be used ({error.strerror}): name another --port or --host."
        ) from None
    return EXIT_COMPLETE
