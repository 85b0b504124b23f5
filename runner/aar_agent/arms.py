"""What can be tried: a method's code and the space of its hyper-parameters, as optuna draws from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aar_api import digest
from aar_api.base import Scalar
from aar_api.files import METHOD_FILE
from aar_api.wire import Hyper, LeaderboardRow, MethodCard
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

STRETCH = 2.0
"""A colleague's number is tried between its half and its double."""


@dataclass(frozen=True)
class Arm:
    """A method that can be drawn: one of the lab's, or a colleague's snapshot."""

    name: str
    label: str
    space: Mapping[str, Hyper]
    snapshot: str
    source: str = ""
    fixed: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Scalar]:
        """The published configuration."""
        return {name: hyper.default for name, hyper in self.space.items()}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as optuna knows it."""
        return {name: _distribution(hyper) for name, hyper in self.space.items()}

    def config(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """What is submitted."""
        return {**self.fixed, **params}

    def dump(self) -> dict[str, Any]:
        """As JSON, without the source: a colleague's code lies at the hub."""
        space = {name: hyper.dump() for name, hyper in self.space.items()}
        return {
            "name": self.name,
            "label": self.label,
            "space": space,
            "snapshot": self.snapshot,
            "fixed": dict(self.fixed),
        }

    @classmethod
    def of_dump(cls, kept: Mapping[str, Any]) -> Arm:
        """What was dumped."""
        space = {name: Hyper.model_validate(hyper) for name, hyper in kept["space"].items()}
        return cls(**{**kept, "space": space})

    def params_of(self, config: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """The point of the space that a configuration is; none if it lies outside."""
        space = self.distributions
        if set(config) - set(space) - set(self.fixed):
            return None
        point = {name: config.get(name, hyper.default) for name, hyper in self.space.items()}
        inside = all(_holds(space[name], value) for name, value in point.items())
        return point if inside else None


def of_card(card: MethodCard) -> Arm:
    """A method of the lab, uploaded as a snapshot of one file."""
    snapshot = digest.of_files({METHOD_FILE: card.source})
    return Arm(name=card.name, label=card.name, space=card.space, snapshot=snapshot, source=card.source)


def of_row(row: LeaderboardRow) -> Arm | None:
    """A colleague's snapshot: its code as it is, its numbers stretched both ways; none if there is nothing to vary."""
    space = {name: hyper for name, value in row.config.items() if (hyper := _around(value)) is not None}
    if row.snapshot is None or not space:
        return None
    fixed = {name: value for name, value in row.config.items() if name not in space}
    name = f"adopted-{row.snapshot.removeprefix('sha256:')[:12]}"
    return Arm(name=name, label=row.label or name, space=space, snapshot=row.snapshot, fixed=fixed)


def _around(value: Scalar) -> Hyper | None:
    if isinstance(value, bool | str) or value <= 0:
        return None
    if isinstance(value, int):
        return Hyper(kind="int", low=max(1, round(value / STRETCH)), high=round(value * STRETCH), default=value)
    return Hyper(kind="float", low=value / STRETCH, high=value * STRETCH, log=True, default=value)


def _distribution(hyper: Hyper) -> BaseDistribution:
    if hyper.kind == "choice":
        return CategoricalDistribution(hyper.choices)
    assert hyper.low is not None
    assert hyper.high is not None
    if hyper.kind == "int":
        return IntDistribution(int(hyper.low), int(hyper.high), log=hyper.log)
    return FloatDistribution(hyper.low, hyper.high, log=hyper.log)


def _holds(distribution: BaseDistribution, value: Scalar) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(value, bool | str):
        return False
    return bool(distribution._contains(distribution.to_internal_repr(value)))
