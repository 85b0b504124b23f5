"""The one thread that moves things on by itself: builds tasks, asks for baselines, takes the steps of verification."""

from __future__ import annotations

import logging
import threading

from aar_hub import baselines, prepare, records, verification
from aar_hub.hub import Hub

IDLE_SECONDS = 2.0
"""How long it sleeps when nobody rings; a bell lost to a crash costs this much and no more."""
LOG = logging.getLogger("aar_hub.worker")


class Worker:
    """A thread that steps until it is told to stop."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way."""
        self._stop.set()
        self._hub.wake.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._hub.wake.clear()
            try:
                step(self._hub)
            except Exception:  # the outermost loop: the next step starts from the database again
                LOG.exception("a step failed; it is tried again in %s s", IDLE_SECONDS)
                self._stop.wait(IDLE_SECONDS)
            self._hub.wake.wait(IDLE_SECONDS)


def step(hub: Hub) -> None:
    """Everything that can be done now; doing it twice changes nothing."""
    with hub.db.read() as tx:
        campaign = records.find_campaign(tx)
    if campaign is None or campaign.failed or campaign.stage == "done":
        return
    prepare.build_missing(hub)
    with hub.db.write() as tx:
        campaign = records.campaign(tx)
        if campaign.stage == "preparing" and not campaign.failed:
            baselines.advance(tx, hub, campaign, records.all_tasks(tx)[0].key)
        verification.advance(tx, hub, records.campaign(tx))
