"""What a local run says: one JSON object a line on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from aar_api.wire import ExperimentView, Summary

EXIT_COMPLETE, EXIT_FAILED, EXIT_INPUT, EXIT_ENVIRONMENT, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class Voice:
    """Says each thing once, and again only when it changed."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._said: dict[str, str] = {}

    def notice(self, message: str) -> None:
        """Something a person may want to know."""
        self._say("notice", message=message)

    def error(self, message: str) -> None:
        """Why it cannot go on: value, rule, way out."""
        self._say("error", message=message)

    def url(self, url: str) -> None:
        """Where the hub's pages and metrics are."""
        self._once("url", "url", url=url)

    def status(self, campaign: dict[str, Any], summary: Summary | None) -> None:
        """The campaign as it stands."""
        self._once("status", "status", campaign=campaign, summary=None if summary is None else summary.dump())

    def experiment(self, view: ExperimentView) -> None:
        """An experiment as it stands."""
        self._once(f"experiment {view.name}", "experiment", experiment=view.dump())

    def refused(self, name: str, message: str) -> None:
        """An Experiment that was not taken up."""
        self._once(f"refused {name}", "notice", message=f"Experiment {name} was refused: {message}")

    def unchanged(self, message: str) -> None:
        """The campaign goes on without the last change of its file."""
        self._once("unchanged", "notice", message=message)

    def done(self, phase: str, message: str) -> None:
        """The last word."""
        self._say("done", phase=phase, message=message)

    def _once(self, key: str, event: str, **body: Any) -> None:
        text = json.dumps(body, sort_keys=True)
        if self._said.get(key) != text:
            self._said[key] = text
            self._say(event, **body)

    def _say(self, event: str, **body: Any) -> None:
        try:
            self._out.write(json.dumps({"event": event, **body}) + "\n")
            self._out.flush()
        except BrokenPipeError:
            # Whoever listened is gone; standard input says so too, and stops the run.
            return
