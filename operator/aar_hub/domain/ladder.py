"""What a submitter is told of a score (Blum and Hardt 2015, "The Ladder: A Reliable Leaderboard for Machine Learning Competitions").

A figure is rounded to the paired standard error against the incumbent, and becomes the new best only by beating the incumbent by more than
that. So the answers to many almost equal questions carry almost no information about single test items. The error itself depends on the
items' labels, so what is told is a multiple of a step from a fixed list, or its last digits would tell what the rounding hides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MIN_STEP = 0.01
"""Two methods with the same predictions have a paired error of 0; a step of one point is finer than any test half resolves."""
STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
"""Steps of a decade, about evenly spaced: rounding up to one of them coarsens by two thirds at most."""


@dataclass(frozen=True)
class Rung:
    """What is told, and whether it is the new best."""

    shown: float
    best: bool


def coarse(step: float) -> float:
    """The smallest step of the list that is not smaller."""
    step = max(step, MIN_STEP)
    decade = 10.0 ** math.floor(math.log10(step))
    return next(round(unit * decade, 6) for unit in STEPS if unit * decade >= step or unit == STEPS[-1])


def told(figure: float, step: float) -> float:
    """A figure as a multiple of a step of the list."""
    unit = coarse(step)
    return round(round(figure / unit) * unit, 4)


def climb(value: float, step: float, incumbent: float | None) -> Rung:
    """The answer for a new value.

    Args:
        value: the exact PGR on the feedback half.
        step: paired standard error against the incumbent, in PGR; without W and C, which both share.
        incumbent: what was shown for the best so far; none before the first.
    """
    step, rounded = max(step, MIN_STEP), told(value, step)
    if incumbent is None:
        return Rung(rounded, True)
    if value > incumbent + step:
        return Rung(rounded, True)
    return Rung(min(rounded, incumbent), False)
