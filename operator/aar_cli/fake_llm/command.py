"""`aar fake-llm`: the double as a process of its own."""

from __future__ import annotations

import signal
import threading

from rich.console import Console

from aar_cli.errors import EXIT_COMPLETE, CliError
from aar_cli.fake_llm import script, server
from aar_cli.fake_llm.server import FakeLLM


def serve(name: str, port: int, console: Console) -> int:
    """Play a script until Ctrl-C; the exit code.

    Raises:
        BadFile: there is no such script, or it breaks a rule.
        CliError: the port is taken.
    """
    fake = FakeLLM(script.load(name))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with server.serving(fake, port) as url:
            console.print(f"{url} plays {name}: {fake.script.about}", highlight=False, soft_wrap=True)
            stop.wait()
    except OSError as error:
        raise CliError(f"Port {port} cannot be used ({error.strerror}): name another with --port.") from None
    return EXIT_COMPLETE
