"""The loop of a researcher without an LLM: think, submit, wait, learn, tell. How it thinks is its strategy."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aar_api.files import METHOD_FILE
from aar_api.wire import Brief, ExperimentView, FindingPost, LeaderboardRow, SnapshotUpload, Submission
from optuna.samplers import BaseSampler

from aar_agent import arms as arms_module
from aar_agent.arms import Arm
from aar_agent.desk import Desk
from aar_agent.errors import HubRefused
from aar_agent.notebook import Idea, Notebook

POLL_SECONDS = 0.5
"""How soon news is looked for while experiments take seconds."""
LONGEST_POLL_SECONDS = 10.0
REPEAT_SHARE = 0.3
"""Share of a researcher's runs that goes to the best configurations again, on more seeds: a single run overstates its best by
about 0.1, see the measurements in benchmarks/."""
REFUSALS = 8
"""Refused ideas in a row after which there is nothing new left to ask."""
AT_AN_END = {"BudgetExceeded", "SubmissionsExceeded", "QuotaExceeded", "CampaignFinished"}
"""Words of the hub after which no other idea would fare better."""


@dataclass(frozen=True)
class Strategy:
    """How a researcher thinks."""

    name: str
    sampler: Callable[[int], BaseSampler]
    pick: Callable[[Mapping[str, list[float]], list[list[float]], random.Random], str]
    shares: bool = True
    """Whether it reads what colleagues found, and repeats the team's best."""


@dataclass
class Explorer:
    """One researcher at work."""

    desk: Desk
    strategy: Strategy
    book: Notebook
    arms: dict[str, Arm]
    brief: Brief
    running: dict[str, Idea] = field(default_factory=dict)
    submitted: int = 0
    """Since the brief, which counts what was submitted before it."""
    exhausted: str = ""
    refused: int = 0
    quiet: float = POLL_SECONDS
    board: list[LeaderboardRow] = field(default_factory=list)
    read_up_to: int = 0

    def run(self) -> str:
        """Work until the stage, the purse or the ideas end; why it ended."""
        self.arms |= {arm.name: arm for arm in self.book.adopted()}
        for idea in self.book.open(list(self.arms.values())):
            self._submit(idea)
        self._hear()
        while self.brief.stage in ("preparing", "researching"):
            news = self._collect()
            if self.brief.stage == "researching":
                self._listen()
                while not self.exhausted and len(self.running) < self._places():
                    self._start()
            if self.exhausted and not self.running:
                return self.exhausted
            self.quiet = POLL_SECONDS if news else min(1.2 * self.quiet, LONGEST_POLL_SECONDS)
            self.desk.pause(self.quiet)
            self._hear()
        return f"The campaign is at stage {self.brief.stage}."

    def _hear(self) -> None:
        self.brief, self.submitted = self.desk.hub.brief(), 0

    def _places(self) -> int:
        """This researcher's part of what may run at once, rounded up so that no place stays empty."""
        return max(1, -(-self.brief.parallelism // max(1, self.brief.colleagues)))

    def _start(self) -> None:
        purse = self.brief.purse
        if min(purse.submissions_left, purse.experiments_left) <= self.submitted:
            self.exhausted = "All experiments that were allowed are used."
            return
        self._submit(self._idea())

    def _idea(self) -> Idea:
        if (again := self._repeat()) is not None:
            return again
        known = {name: self.book.values(arm) for name, arm in self.arms.items()}
        done = self.book.ideas(list(self.arms.values()))
        if done == 0 and self.strategy.shares:
            return self.book.think(self._first(), 1)
        rng = random.Random(f"{self.brief.search_seed}:{done}")
        repeats = [group for arm in self.arms.values() for group in self.book.repeats(arm)]
        return self.book.think(self.arms[self.strategy.pick(known, repeats, rng)], 1)

    def _first(self) -> Arm:
        """Simplest methods first, dealt out: the first researcher begins with vanilla, which all else is measured against."""
        order = sorted(self.arms.values(), key=lambda arm: (len(arm.space), arm.name))
        return order[_index(self.brief.researcher) % len(order)]

    def _repeat(self) -> Idea | None:
        """Near the end, the next of the team's best configurations on as many seeds as are allowed, dealt out by rank."""
        if not self.strategy.shares or self.brief.max_seeds < 2 or not self.board:
            return None
        purse, done = self.brief.purse, self.book.ideas(list(self.arms.values()))
        team = max(1, self.brief.colleagues)
        left = min(purse.submissions_left, -(-purse.experiments_left // team))
        if left > REPEAT_SHARE * (done + left):
            return None
        for row in self.board[_index(self.brief.researcher) % team :: team]:
            arm = self._arm_of(row)
            if arm is not None and row.n_seeds < self.brief.max_seeds and not self._repeated(arm, row):
                return self.book.think(arm, self.brief.max_seeds, arm.params_of(row.config))
        return None

    def _repeated(self, arm: Arm, row: LeaderboardRow) -> bool:
        return any(
            other.n_seeds >= self.brief.max_seeds for other in self.board if _same(other, row)
        ) or self.book.asked(arm, row.config, self.brief.max_seeds)

    def _submit(self, idea: Idea) -> None:
        try:
            self._upload(idea.arm)
            view = self.desk.hub.submit(
                Submission(
                    key=idea.key,
                    snapshot=idea.arm.snapshot,
                    label=idea.arm.label,
                    config=idea.config,
                    seeds=idea.seeds,
                    hypothesis=_hypothesis(idea),
                )
            )
        except HubRefused as refusal:
            self._refusal(idea, refusal.reason, str(refusal))
            if refusal.status == 402:
                self.exhausted = str(refusal)
        else:
            self.running[view.name] = idea
            self.submitted += 1
            self.desk.log.info("submitted %s as %s", idea.key, view.name)

    def _upload(self, arm: Arm) -> None:
        if arm.source:
            self.desk.hub.upload(SnapshotUpload(files={METHOD_FILE: arm.source}))

    def _refusal(self, idea: Idea, reason: str, message: str) -> None:
        self.desk.log.info("%s refused: %s", idea.key, message)
        self.book.failed(idea, blame=reason == "InvalidMethod")
        self.refused += 1
        if reason in AT_AN_END or self.refused >= REFUSALS:
            self.exhausted = message

    def _collect(self) -> bool:
        """Learn from what has ended; whether anything has."""
        ended = []
        for name, idea in self.running.items():
            view = self.desk.hub.experiment(name)
            if view.state in ("scored", "failed", "refused", "cancelled"):
                self._learn(idea, view)
                ended.append(name)
        for name in ended:
            del self.running[name]
        return bool(ended)

    def _learn(self, idea: Idea, view: ExperimentView) -> None:
        self.desk.log.info("%s %s %s", view.name, view.state, view.score.pgr if view.score else view.message)
        if view.state == "refused":
            self._refusal(idea, view.reason, view.message)
            return
        self.refused = 0
        self._tell(idea, view)
        if view.score is not None:
            self.book.scored(idea, view.score.pgr, view.name)
        else:
            self.book.failed(idea, blame=view.state == "failed")

    def _tell(self, idea: Idea, view: ExperimentView) -> None:
        """Post what is worth a colleague's time: a method's new best, or its first failure. Before it is noted, so that a kill between only repeats it."""
        before = self.book.values(idea.arm)
        if view.score is not None and all(view.score.pgr > value for value in before):
            title = f"{idea.arm.label}: {_config(idea.config)}"
            text = f"Best of {len(before) + 1} runs of {idea.arm.label} so far. {_hypothesis(idea)}"
            self._post("result", title, text, view)
        elif view.state == "failed" and not before:
            why = next((seed.message for seed in view.seeds if seed.message), view.message)
            self._post("error", f"{idea.arm.label} fails", f"{_config(idea.config)}: {why}"[:2000], view)

    def _post(self, kind: str, title: str, text: str, view: ExperimentView) -> None:
        post = FindingPost.model_validate(
            {
                "kind": kind,
                "title": title[:200],
                "text": text,
                "experiments": (view.name,),
                "key": f"{kind}:{view.name}",
            }
        )
        try:
            self.desk.hub.post_finding(post)
        except HubRefused as refusal:
            self.desk.log.info("finding refused: %s", refusal)

    def _listen(self) -> None:
        """Read what colleagues posted and where they stand; their scores are learned from, and good snapshots of theirs are taken up."""
        if not self.strategy.shares:
            return
        posts = self.desk.hub.findings(self.read_up_to)
        self.read_up_to = max([self.read_up_to, *(post.id for post in posts)])
        self.board = self.desk.hub.leaderboard()
        rows = {row.experiment: row for row in (*self.board, *(row for post in posts for row in post.results))}
        for row in rows.values():
            if row.researcher == self.brief.researcher:
                continue
            arm = self._arm_of(row) or self._adopt(row)
            if arm is not None:
                self.book.learn(arm, row.config, row.pgr, row.experiment)

    def _arm_of(self, row: LeaderboardRow) -> Arm | None:
        return next((arm for arm in self.arms.values() if arm.snapshot == row.snapshot), None)

    def _adopt(self, row: LeaderboardRow) -> Arm | None:
        """A snapshot that is no method of the lab becomes one to vary, if it does better than anything known here."""
        best = max((value for arm in self.arms.values() for value in self.book.values(arm)), default=0.0)
        arm = arms_module.of_row(row) if row.pgr > best else None
        if arm is not None:
            self.book.adopt(arm)
            self.arms[arm.name] = arm
            self.desk.log.info("adopted %s of %s", row.experiment, row.researcher)
        return arm


def explore(desk: Desk, brief: Brief, strategy: Strategy) -> str:
    """Run a strategy to its end; why it ended."""
    book = Notebook(desk.work_dir / "studies.journal", strategy.name, strategy.sampler)
    # Methods that ignore the weak labels are yardsticks, not answers to how weak supervision is best used.
    cards = [card for card in desk.hub.methods() if card.uses_weak_labels]
    arms = {card.name: arms_module.of_card(card) for card in cards}
    if not arms:
        return "The hub lists no method that uses weak labels: there is nothing to search among."
    return Explorer(desk, strategy, book, arms, brief).run()


def _index(researcher: str) -> int:
    digits = re.search(r"\d+$", researcher)
    return int(digits.group()) if digits else 0


def _same(one: LeaderboardRow, other: LeaderboardRow) -> bool:
    return one.snapshot == other.snapshot and one.config == other.config


def _config(config: Mapping[str, object]) -> str:
    shown = (f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in config.items())
    return ", ".join(shown) or "no hyper-parameters"


def _hypothesis(idea: Idea) -> str:
    if idea.seeds > 1:
        return f"Repeat {idea.arm.label} ({_config(idea.config)}) on {idea.seeds} seeds: one run overstates the best."
    return f"{idea.arm.label} with {_config(idea.config)} recovers more of the gap than what was tried before."
