"""What a researcher remembers: an append-only journal of optuna studies in the workspace, one study a method.

An idea is written down, with the key under which it is submitted, before the hub hears of it. So whoever reads the journal after
a kill submits the same ideas under the same keys, and the hub answers with the experiments it already has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from aar_api.base import Scalar
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from aar_agent.arms import Arm
from aar_agent.bandit import CRASH

CONFIG, KEY, SEEDS, EXPERIMENT, BLAME = "config", "key", "seeds", "experiment", "blame"
ARM = "arm"
"""Of a study: a colleague's arm, which no later start could find by itself."""
MakeSampler = Callable[[int], BaseSampler]


@dataclass(frozen=True)
class Idea:
    """A configuration to try, as the journal has it."""

    arm: Arm
    number: int
    config: dict[str, Scalar]
    key: str
    seeds: int


class Notebook:
    """Every idea of a researcher and what came of it, with what it heard from colleagues."""

    def __init__(self, path: Path, prefix: str, sampler: MakeSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _mend(path)
        lock = JournalFileOpenLock(str(path))
        self._storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        self._prefix, self._sampler = prefix, sampler
        self._studies: dict[str, optuna.Study] = {}

    def adopt(self, arm: Arm) -> None:
        """Write down a colleague's arm, before there are ideas for it."""
        self._study(arm).set_user_attr(ARM, arm.dump())

    def adopted(self) -> list[Arm]:
        """Colleagues' arms that were written down."""
        return [
            Arm.of_dump(study.user_attrs[ARM])
            for study in optuna.get_all_study_summaries(self._storage, include_best_trial=False)
            if ARM in study.user_attrs
        ]

    def think(self, arm: Arm, seeds: int, config: dict[str, Scalar] | None = None) -> Idea:
        """Write an idea down: the configuration given, else the defaults on first acquaintance, else what the sampler asks."""
        study = self._study(arm)
        point = config if config is not None else arm.defaults if not study.get_trials(deepcopy=False) else None
        if point is not None:
            study.enqueue_trial(point)
        trial = study.ask(arm.distributions)
        key = f"{self._prefix}:{arm.name}:{trial.number}"
        trial.set_user_attr(KEY, key)
        trial.set_user_attr(SEEDS, seeds)
        # The configuration comes last: an idea without one was never submitted.
        trial.set_user_attr(CONFIG, arm.config(trial.params))
        return Idea(arm, trial.number, arm.config(trial.params), key, seeds)

    def open(self, arms: list[Arm]) -> list[Idea]:
        """Ideas without an end yet; those that a kill left half written are struck out."""
        return [idea for arm in arms for idea in self._open_of(arm)]

    def scored(self, idea: Idea, pgr: float, experiment: str) -> None:
        """It ended with a score."""
        study = self._study(idea.arm)
        self._note(idea, EXPERIMENT, experiment)
        study.tell(idea.number, pgr)

    def failed(self, idea: Idea, blame: bool) -> None:
        """It ended without a score; `blame` if the method is at fault."""
        study = self._study(idea.arm)
        self._note(idea, BLAME, blame)
        study.tell(idea.number, state=TrialState.FAIL)

    def learn(self, arm: Arm, config: dict[str, Scalar], pgr: float, experiment: str) -> bool:
        """A colleague's score, as if it were one's own; false if it is known or lies outside the space."""
        study, point = self._study(arm), arm.params_of(config)
        if point is None or any(t.user_attrs.get(EXPERIMENT) == experiment for t in study.get_trials(deepcopy=False)):
            return False
        trial = optuna.trial.create_trial(
            params=point,
            distributions=arm.distributions,
            value=pgr,
            user_attrs={EXPERIMENT: experiment, CONFIG: config},
        )
        study.add_trial(trial)
        return True

    def values(self, arm: Arm) -> list[float]:
        """Every end of a method; a crash counts as nothing recovered."""
        return [value for trial in self._trials(arm) if (value := _value(trial)) is not None]

    def repeats(self, arm: Arm) -> list[list[float]]:
        """Scores by configuration."""
        groups: dict[str, list[float]] = {}
        for trial in self._trials(arm):
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                groups.setdefault(repr(sorted(trial.params.items())), []).append(trial.value)
        return list(groups.values())

    def asked(self, arm: Arm, config: dict[str, Scalar], seeds: int) -> bool:
        """Whether this researcher asked for a configuration on that many seeds."""
        found = (trial.user_attrs for trial in self._trials(arm))
        return any(kept.get(CONFIG) == config and kept.get(SEEDS) == seeds for kept in found)

    def ideas(self, arms: list[Arm]) -> int:
        """How many ideas were written down."""
        return sum(KEY in trial.user_attrs for arm in arms for trial in self._trials(arm))

    def _open_of(self, arm: Arm) -> Iterator[Idea]:
        for trial in self._trials(arm):
            if trial.state != TrialState.RUNNING:
                continue
            kept = trial.user_attrs
            if CONFIG in kept:
                yield Idea(arm, trial.number, kept[CONFIG], kept[KEY], kept[SEEDS])
            else:
                self._study(arm).tell(trial.number, state=TrialState.FAIL)

    def _trials(self, arm: Arm) -> list[FrozenTrial]:
        return list(self._study(arm).get_trials(deepcopy=False))

    def _study(self, arm: Arm) -> optuna.Study:
        if arm.name not in self._studies:
            study = optuna.create_study(
                storage=self._storage, study_name=arm.name, direction="maximize", load_if_exists=True
            )
            # Another seed after a restart, or the sampler would repeat its first thoughts.
            study.sampler = self._sampler(len(study.get_trials(deepcopy=False)))
            self._studies[arm.name] = study
        return self._studies[arm.name]

    def _note(self, idea: Idea, name: str, value: object) -> None:
        study = self._storage.get_study_id_from_name(idea.arm.name)
        trial = self._storage.get_trial_id_from_study_id_trial_number(study, idea.number)
        self._storage.set_trial_user_attr(trial, name, value)


def _value(trial: FrozenTrial) -> float | None:
    if trial.state == TrialState.FAIL:
        return CRASH if trial.user_attrs.get(BLAME) else None
    return trial.value if trial.state == TrialState.COMPLETE else None


def _mend(path: Path) -> None:
    """Cut a torn last line, which a lost machine can leave, and drop the lock of a process that was killed: one process has a workspace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{path}.lock").unlink(missing_ok=True)
    if path.exists():
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            path.write_bytes(whole)
