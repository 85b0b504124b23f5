"""What changes: told at the end of a turn's results, so that the prompt before it stays as it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aar_api.wire import Brief, ExperimentView

from aar_agent.claude.tools import Bench
from aar_agent.claude.tools.science import OVER

SECONDS = 5.0
"""Between two looks at the hub, unless a tool changed something there."""
MOST_TOLD = 8
"""Experiments whose end is told at once; after a restart all of them are news."""
PLATEAU = 8
"""Scored experiments without a gain beyond the error after which a change is suggested."""


@dataclass
class News:
    """The last look, and what was told already."""

    bench: Bench
    brief: Brief
    views: list[ExperimentView] = field(default_factory=list)
    told_over: set[str] = field(default_factory=set)
    last_post: int = 0
    new_posts: list[int] = field(default_factory=list)
    told_plateau: int = 0
    _looked: float = 0.0

    def look(self, *, now: bool = False) -> None:
        """Ask the hub, if it is time."""
        if not now and not self.bench.asked_hub and time.monotonic() < self._looked + SECONDS:
            return
        hub = self.bench.desk.hub
        self.brief = hub.brief()
        self.views = hub.experiments()
        posts = hub.findings(self.last_post)
        self.last_post = max([self.last_post, *(post.id for post in posts)])
        self.new_posts += [post.id for post in posts if post.author != self.brief.researcher]
        self.bench.workspace.ledger(self.views)
        self.bench.asked_hub, self._looked = False, time.monotonic()

    def status(self, turn: int) -> str:
        """One paragraph; what is over or posted is told once."""
        parts = [f"turn {turn}", *_purse(self.brief)]
        running = [view.name for view in self.views if view.state not in OVER]
        if running:
            parts.append(f"running: {', '.join(running)}")
        over = [view for view in self.views if view.state in OVER and view.name not in self.told_over]
        self.told_over |= {view.name for view in over}
        parts += [_end(view) for view in over[-MOST_TOLD:]]
        if len(over) > MOST_TOLD:
            parts.append(f"{len(over) - MOST_TOLD} more are over, see the ledger")
        parts += self._posts()
        if not self.can_submit() and not running:
            parts.append("nothing more can be submitted: share what you know, then finish")
        parts += self._plateau()
        if not self.bench.ballast.take():
            parts.append("the disk is full, or nearly: delete what you do not need, or your next steps cannot be kept")
        return f"[status] {'; '.join(parts)}."

    def can_submit(self) -> bool:
        """Whether an experiment would be taken."""
        return min(self.brief.purse.submissions_left, self.brief.purse.experiments_left) > 0

    def idle(self) -> bool:
        """Nothing runs and nothing can be submitted."""
        return not self.can_submit() and all(view.state in OVER for view in self.views)

    def _posts(self) -> list[str]:
        """Numbers of new posts; their words are read with a tool, which marks them as data."""
        told, self.new_posts = self.new_posts, []
        return [f"{len(told)} new findings, to be read since_id {told[0] - 1}"] if told else []

    def _plateau(self) -> list[str]:
        count = since_gain(self.views)
        if count < PLATEAU or count < self.told_plateau + PLATEAU:
            self.told_plateau = min(self.told_plateau, count)
            return []
        self.told_plateau = count
        return [
            f"{count} scored experiments without a gain beyond the error: change something structural, combine what works, "
            "or take a new direction"
        ]


def since_gain(views: Sequence[ExperimentView]) -> int:
    """Scored experiments since the best was beaten by more than its standard error."""
    best, count = None, 0
    for view in views:
        if view.score is None:
            continue
        if best is None or view.score.pgr > best + view.score.stderr:
            best, count = view.score.pgr, 0
        else:
            count += 1
    return count


def _purse(brief: Brief) -> list[str]:
    purse = brief.purse
    parts = [
        f"{purse.left_usd} of {purse.limit_usd} USD left",
        f"{purse.submissions_left} submissions of yours and {purse.experiments_left} of the campaign left",
    ]
    if purse.llm_left_usd is not None:
        parts.insert(1, f"{purse.llm_left_usd} USD left for LLM calls")
    if purse.seconds_left is not None:
        parts.append(f"{purse.seconds_left / 60:.0f} minutes left")
    return parts


def _end(view: ExperimentView) -> str:
    if view.score is not None:
        return f"{view.name} scored {view.score.pgr:.3f} +- {view.score.stderr:.3f}"
    return f"{view.name} {view.state}"
