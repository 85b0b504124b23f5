"""Which method to try next: Thompson sampling (Thompson 1933) over beliefs about how good each method can be made.

Pure: numbers and a generator in, a choice out. A method is judged by its better results, since its worse ones say more about
the configurations than about it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PRIOR_MEAN = 0.3
PRIOR_SD = 0.3
"""A method nobody tried recovers about a third of the gap, give or take as much: what published methods do."""
SPREAD = 0.12
"""Standard deviation of PGR between good configurations of one method."""
SEED_NOISE = 0.07
"""Standard deviation of PGR between seeds of one configuration, until repeats say otherwise."""
TOP = 0.4
"""Share of a method's results that it is judged by."""
CRASH = 0.0
"""What a run that failed counts as: it recovered nothing of the gap."""


@dataclass(frozen=True)
class Belief:
    """A normal distribution over what a method can reach."""

    mean: float
    sd: float


def belief(values: Sequence[float], noise: float = SEED_NOISE) -> Belief:
    """The posterior of the mean of a method's top results; the prior if there are none."""
    top = sorted(values, reverse=True)[: math.ceil(TOP * len(values))]
    prior, each = PRIOR_SD**-2, 1 / (noise**2 + SPREAD**2)
    precision = prior + each * len(top)
    return Belief((PRIOR_MEAN * prior + each * sum(top)) / precision, precision**-0.5)


def thompson(beliefs: Mapping[str, Belief], rng: random.Random) -> str:
    """Draw once from each belief and name the highest."""
    return max(sorted(beliefs), key=lambda name: rng.gauss(beliefs[name].mean, beliefs[name].sd))


def seed_noise(repeats: Sequence[Sequence[float]]) -> float:
    """Pooled standard deviation within repeats of the same configuration, weighed against one repeat's worth of the default."""
    degrees = sum(len(group) - 1 for group in repeats if len(group) > 1)
    squares = sum((value - sum(group) / len(group)) ** 2 for group in repeats if len(group) > 1 for value in group)
    return math.sqrt((SEED_NOISE**2 + squares) / (1 + degrees))
