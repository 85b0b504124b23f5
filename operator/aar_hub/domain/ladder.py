"""What a submitter is told of a score (Blum and Hardt 2015, "The Ladder: A Reliable Leaderboard for Machine Learning Competitions").

A figure is rounded to the paired standard error against the incumbent, and becomes the new best only by beating the incumbent by more than
that. So the answers to many almost equal questions carry almost no information about single test items.
"""

from __future__ import annotations

from dataclasses import dataclass

MIN_STEP = 0.01
"""Two methods with the same predictions have a paired error of 0; a step of one point is finer than any test half resolves."""


@dataclass(frozen=True)
class Rung:
    """What is told, and whether it is the new best."""

    shown: float
    best: bool


def climb(value: float, step: float, incumbent: float | None) -> Rung:
    """The answer for a new value.

    Args:
        value: the exact PGR on the feedback half.
        step: paired standard error against the incumbent, in PGR; without W and C, which both share.
        incumbent: what was shown for the best so far; none before the first.
    """
    step = max(step, MIN_STEP)
    rounded = round(round(value / step) * step, 4)
    if incumbent is None:
        return Rung(rounded, True)
    if value > incumbent + step:
        return Rung(rounded, True)
    return Rung(min(rounded, incumbent), False)
