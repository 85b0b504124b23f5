"""Entry point of a researcher's pod: `python -m aar_agent.main`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading

from aar_api import labels, plugins
from aar_api.errors import UnknownPlugin

from aar_agent import researchers, settings
from aar_agent.desk import Desk
from aar_agent.errors import AgentError, Hopeless, HubRefused, SettingInvalid, Stopped
from aar_agent.hub import Hub

EXIT_STOPPED = 128 + signal.SIGTERM
"""Not 0: a Job whose pod was moved has to run again, and only a researcher that said it is done is done."""
_FINAL = (401, 403, 404)
"""Refusals that another try would meet again."""


def main(arguments: list[str] | None = None) -> int:
    """Run the researcher that the campaign asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aar_agent.main", description="Run one researcher.")
    parser.add_argument("--list", action="store_true", help="list the kinds of researchers")
    if parser.parse_args(arguments).list:
        _list()
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    log = logging.getLogger("aar_agent")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _research(settings.load(), stop, log)
    except Stopped as stopped:
        log.info("%s", stopped)
        return EXIT_STOPPED
    except (SettingInvalid, UnknownPlugin, Hopeless) as error:
        log.error("%s", error)
        return labels.EXIT_METHOD_FAILED
    except HubRefused as error:
        if error.reason == "CampaignFinished":
            log.info("%s", error)
            return 0
        log.error("The hub refused (%s): %s", error.status, error)
        return labels.EXIT_METHOD_FAILED if error.status in _FINAL else 1
    except AgentError as error:
        log.error("%s", error)
        return 1
    return 0


def _research(known: settings.Settings, stop: threading.Event, log: logging.Logger) -> None:
    hub = Hub(known.hub_url, known.token, stop)
    try:
        brief = hub.brief()
        kind = plugins.load(researchers, brief.kind, "researcher")
        log.info("researcher %s of campaign %s: %s on %s", brief.researcher, brief.campaign, brief.kind, brief.task)
        reason = kind.run(Desk(hub, known.work_dir, stop, log), brief)
        log.info("done: %s", reason)
        hub.finish(reason)
    finally:
        hub.close()


def _list() -> None:
    for name in plugins.names(researchers):
        sys.stdout.write(f"{name:12} {plugins.load(researchers, name, 'researcher').SUMMARY}\n")


if __name__ == "__main__":
    sys.exit(main())
