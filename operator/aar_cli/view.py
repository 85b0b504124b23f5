"""What a person sees while a campaign runs: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aar_api.campaign import ResearchCampaign, parse
from aar_api.wire import ExperimentView, Summary
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

SHOWN = 12
"""Experiments in the panel: the last that changed."""


class View:
    """Keeps the last that was heard and shows it."""

    def __init__(self, console: Console, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._console, self._now = console, now
        self.campaign: ResearchCampaign | None = None
        self.summary: Summary | None = None
        self.url = ""
        self.experiments: dict[str, ExperimentView] = {}
        self._last = ""
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> View:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End drawing."""
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def hear(self, event: dict[str, Any]) -> None:
        """Take in one event of the operator."""
        match event["event"]:
            case "notice":
                self.say(event["message"])
            case "url":
                self.url = event["url"]
                self.say(f"pages {self.url}  metrics {self.url.rstrip('/')}/metrics")
            case "status":
                self.campaign = parse(event["campaign"])
                self.summary = Summary.model_validate(event["summary"]) if event.get("summary") else None
                self._status()
            case "experiment":
                self._experiment(ExperimentView.model_validate(event["experiment"]))
        self.refresh()

    def refresh(self) -> None:
        """Draw again; the time left moves on its own."""
        if self._live is not None:
            self._live.update(Panel(Group(self.line(), self._table()), title=self._title(), title_align="left"))

    def line(self) -> str:
        """The state in one line."""
        if self.campaign is None:
            return "starting"
        status, spec = self.campaign.status, self.campaign.spec
        counts = status.experiments
        said = [status.phase, f"{counts.scored} scored, {counts.running} running, {counts.failed} failed"]
        best = self.summary.best if self.summary else None
        if best is not None:
            mark = "confirmed" if best.confirmed else "unconfirmed"
            said.append(f"best PGR {best.pgr:.2f} ± {best.stderr:.2f} ({best.method}, {mark})")
        spend = self.summary.spend if self.summary else status.spend
        said.append(f"{spend.total_usd} of {spec.budget.limit_usd} USD (+{spend.reserved_usd} held)")
        left = self._left()
        return "  |  ".join(said + ([f"{left} left for research"] if left else []))

    def _left(self) -> str:
        assert self.campaign is not None
        status, limit = self.campaign.status, self.campaign.spec.active_deadline_seconds
        if limit is None or status.start_time is None or status.phase not in ("Pending", "Preparing", "Researching"):
            return ""
        seconds = int(limit - (self._now() - datetime.fromisoformat(status.start_time)).total_seconds())
        return time.strftime("%H:%M:%S", time.gmtime(max(0, seconds)))

    def _title(self) -> str:
        return f"{self.campaign.metadata.name if self.campaign else 'aar'}  {self.url}"

    def _status(self) -> None:
        if self._live is None and self.line() != self._last:
            self._last = self.line()
            self.say(self._last)

    def _experiment(self, view: ExperimentView) -> None:
        before = self.experiments.pop(view.name, None)
        self.experiments[view.name] = view
        changed = before is None or before.state != view.state
        if self._live is None and changed and view.state in ("scored", "failed", "refused", "cancelled"):
            self.say(f"  {view.name}  {view.purpose:11}  {_what(view)}  {_score(view)}")

    def _table(self) -> Table:
        table = Table("Experiment", "By", "Purpose", "Method", "State", "PGR", box=None, pad_edge=False)
        for view in list(self.experiments.values())[-SHOWN:]:
            table.add_row(view.name, view.submitted_by, view.purpose, _what(view), view.state, _score(view))
        return table


def _what(view: ExperimentView) -> str:
    return view.label or view.builtin or "own method"


def _score(view: ExperimentView) -> str:
    if view.score is not None:
        return f"{view.score.pgr:.2f} ± {view.score.stderr:.2f}"
    return "ok" if view.state == "scored" else view.message
