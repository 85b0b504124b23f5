"""What a person sees while a campaign runs: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aar_api.campaign import ResearchCampaign, parse
from aar_api.wire import ExperimentView, Summary
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

SHOWN = 10
"""Experiments in the panel: the last that changed. With its head and frame the panel fits 24 lines."""
PHASES = ("Preparing", "Researching", "Verifying", "Complete")
UNSCORED = ("failed", "refused")
ENDED = ("scored", "cancelled", *UNSCORED)
VERIFYING = ("Replication", "Control", "Transfer")
"""Purposes whose scores the hub seals until verification ends."""
STYLES = {"scored": "green", "failed": "red", "refused": "red", "cancelled": "yellow", "admitted": "cyan"}
WORDS = {"submitted": "waiting", "admitted": "running"}
"""The hub's words for states, in a person's."""

PURPOSES = {
    "Smoke": "smoke",
    "Baseline": "baseline",
    "Exploration": "explore",
    "Replication": "replicate",
    "Transfer": "transfer",
    "PermutedWeakLabels": "permuted",
    "NoWeakLabels": "no labels",
}
COLUMNS = {"Experiment": 12, "By": 5, "For": 9, "Method": 17, "State": 9, "PGR": None}
"""Widths; the last takes the rest, which is room for a figure with its error at 80 columns."""


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
            self.refresh()
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
        """Draw again; the clock moves on its own."""
        if self._live is not None:
            parts = [self._phases(), *self.facts(), self._clock(), "", self._table()]
            shown = Group(*(part for part in parts if part is not None))
            self._live.update(Panel(shown, title=self._title(), title_align="left"))

    def facts(self) -> list[str]:
        """Counts, the best, the yardsticks and the money: what changes when something has happened."""
        if self.campaign is None:
            return ["starting"]
        status, spec = self.campaign.status, self.campaign.spec
        counts = status.experiments
        said = [f"{counts.scored} scored, {counts.running} running, {counts.queued} waiting, {counts.failed} failed"]
        if self.summary is not None:
            said[0] += f"; {self.summary.submissions} of {spec.experiments.max_count} explored"
            said += [f"{task}: W {weak:.3f}, C {ceiling:.3f}" for task, (weak, ceiling) in self.summary.floors.items()]
        best = self.summary.best if self.summary else None
        if best is not None:
            mark = f"confirmed{best.elsewhere}" if best.confirmed else "unconfirmed"
            said.append(f"best PGR {best.pgr:.2f} ± {best.stderr:.2f} ({best.method}, {mark})")
        if self.summary is not None and self.summary.provider_fault:
            said.append(self.summary.provider_fault)
        spend = self.summary.spend if self.summary else status.spend
        return [*said, f"{spend.total_usd} of {spec.budget.limit_usd} USD spent, {spend.reserved_usd} held"]

    def _phases(self) -> Text:
        """Every phase, the present one standing out; one that is none of them, as a failure is, stands alone."""
        phase = "Pending" if self.campaign is None else self.campaign.status.phase
        if phase not in PHASES:
            return Text(phase, "bold")
        return Text("  >  ").join(Text(one, "bold reverse" if one == phase else "dim") for one in PHASES)

    def _clock(self) -> str | None:
        """How long it has run, and how long research may still go on."""
        if self.campaign is None or self.campaign.status.start_time is None:
            return None
        status, limit = self.campaign.status, self.campaign.spec.active_deadline_seconds
        ran = self._now() - datetime.fromisoformat(status.start_time or "")
        said = f"{_whole(ran)} since the start"
        if limit is None or status.phase not in ("Pending", "Preparing", "Researching"):
            return said
        return f"{said}, {_whole(timedelta(seconds=limit) - ran)} left for research"

    def _title(self) -> str:
        return f"{self.campaign.metadata.name if self.campaign else 'aar'}  {self.url}"

    def _status(self) -> None:
        phase = self.campaign.status.phase if self.campaign else "Pending"
        line = "  |  ".join([phase, *self.facts()])
        if self._live is None and line != self._last:
            self._last = line
            self.say(line)

    def _experiment(self, view: ExperimentView) -> None:
        before = self.experiments.pop(view.name, None)
        self.experiments[view.name] = view
        changed = before is None or (before.state, _score(before)) != (view.state, _score(view))
        # In a panel scores have their column, but the reason why there is none has no room.
        told = ENDED if self._live is None else UNSCORED
        if changed and view.state in told:
            self.say(f"  {view.name}  {_purpose(view)}  {_what(view)}  {_score(view)}")

    def _name(self, view: ExperimentView) -> str:
        """Without the campaign's name, which the title has."""
        return view.name if self.campaign is None else view.name.removeprefix(f"{self.campaign.metadata.name}-")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, expand=True, padding=(0, 1, 0, 0))
        for head, width in COLUMNS.items():
            table.add_column(head, width=width, ratio=None if width else 1, no_wrap=True, overflow="ellipsis")
        for view in list(self.experiments.values())[-SHOWN:]:
            state = Text(WORDS.get(view.state, view.state), STYLES.get(view.state, ""))
            cells = (self._name(view), view.submitted_by, _purpose(view), _what(view), state, _score(view))
            table.add_row(*(Text(one) if isinstance(one, str) else one for one in cells))
        return table


def _whole(span: timedelta) -> timedelta:
    return timedelta(seconds=max(0, int(span.total_seconds())))


def _purpose(view: ExperimentView) -> str:
    return PURPOSES[view.control or view.purpose]


def _what(view: ExperimentView) -> str:
    return view.label or view.builtin or "own method"


def _score(view: ExperimentView) -> str:
    if view.score is not None:
        return f"{view.score.pgr:.2f} ± {view.score.stderr:.2f}"
    if view.state != "scored":
        return view.message
    return "sealed" if view.purpose in VERIFYING else "ok"
