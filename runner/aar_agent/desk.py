"""What every researcher works with: its line to the hub, its workspace, and the sign to stop."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from aar_agent.errors import Stopped
from aar_agent.hub import Hub


@dataclass(frozen=True)
class Desk:
    """One researcher's place."""

    hub: Hub
    work_dir: Path
    stop: threading.Event
    log: logging.Logger

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: the sandbox is asked to end.
        """
        if self.stop.wait(seconds):
            raise Stopped("Asked to stop; what is open goes on, and the next start takes it up.")
