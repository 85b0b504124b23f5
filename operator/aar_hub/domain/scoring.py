"""Performance gap recovered and its standard error: the only place where either is computed.

PGR = (A - W) / (C - W) (Burns et al. 2023, "Weak-to-Strong Generalization", section 3), with A the mean accuracy of the method over its
seeds, W of the weak teacher and C of the strong ceiling over theirs, all on the same items.

The standard error has two independent parts, both first order (delta method), with g = C - W:

- seeds: Var(A)/g^2 + Var(W) ((C-A)/g^2)^2 + Var(C) ((A-W)/g^2)^2, each Var the variance of a mean over seeds;
- test sampling: item i moves PGR by psi_i = [(a_i - A) - (w_i - W) - PGR ((c_i - C) - (w_i - W))] / g; items of one problem are not
  independent, so psi is summed within a problem before squaring (Liang and Zeger 1986; Miller 2024, "Adding Error Bars to Evals").

Two things are left out, and both leave the error stated a little too large: that a method's seed i learnt from the labels of teacher seed i, so
that the two move together; and that a seed's luck with single items is seen both by the seeds and by the items (a few per cent where seeds
agree on most items, under 20 where they agree on few).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from aar_api.errors import AarError

Floats = npt.NDArray[np.float64]


class UndefinedPgr(AarError):
    """The ceiling does not exceed the floor, so there is no gap to recover."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error."""

    value: float
    stderr: float
    freedom: float = math.inf
    """Degrees of freedom of the standard error; of paired differences alone, which decide."""


def correctness(predictions: npt.NDArray[Any], truth: npt.NDArray[np.bool_]) -> Floats:
    """1 where P(True) lies on the right side of one half, else 0; a tie counts as False. Shape (seeds, items)."""
    right: Floats = ((np.atleast_2d(predictions) > 0.5) == truth[None, :]).astype(np.float64)
    return right


def seed_variance(correct: Floats) -> float | None:
    """Variance of one seed's accuracy; unknown from fewer than two seeds."""
    if correct.shape[0] < 2:
        return None
    return float(correct.mean(axis=1).var(ddof=1))


def _of_mean(correct: Floats, pooled: float) -> float:
    own = seed_variance(correct)
    return float((pooled if own is None else own) / correct.shape[0])


def clustered_variance(influence: Floats, groups: npt.NDArray[np.int64]) -> float:
    """Variance of a mean from the items' influences, with the items of a group summed first; G / (G - 1) for few groups."""
    sums = np.bincount(groups, weights=influence)
    n_groups = int(np.unique(groups).size)
    correction = n_groups / (n_groups - 1) if n_groups > 1 else 1.0
    return float((sums**2).sum() / influence.size**2 * correction)


def accuracy(correct: Floats, groups: npt.NDArray[np.int64], pooled: float = 0.0) -> Estimate:
    """Mean accuracy over seeds and items."""
    mean = float(correct.mean())
    items = clustered_variance(correct.mean(axis=0) - mean, groups)
    return Estimate(mean, math.sqrt(items + _of_mean(correct, pooled)))


def pgr(method: Floats, weak: Floats, ceiling: Floats, groups: npt.NDArray[np.int64], pooled: float = 0.0) -> Estimate:
    """PGR with its full standard error.

    Args:
        method: correctness of the method, (seeds, items).
        weak: of the weak teacher.
        ceiling: of the strong ceiling.
        groups: problem of each item, as numbers from 0.
        pooled: seed variance to assume for a method of one seed, whose own is unknown.

    Raises:
        UndefinedPgr: the ceiling is not above the floor.
    """
    a, w, c = float(method.mean()), float(weak.mean()), float(ceiling.mean())
    gap = c - w
    if gap <= 0:
        raise UndefinedPgr(
            f"The strong ceiling is {c:.4f} and the weak floor {w:.4f}, but PGR needs a ceiling above the floor: choose a stronger strong "
            "model, a weaker weak one or a harder task."
        )
    value = (a - w) / gap
    items = method.mean(axis=0) - a - (1 - value) * (weak.mean(axis=0) - w) - value * (ceiling.mean(axis=0) - c)
    seeds = (
        _of_mean(method, pooled)
        + _of_mean(weak, pooled) * ((c - a) / gap) ** 2
        + _of_mean(ceiling, pooled) * ((a - w) / gap) ** 2
    ) / gap**2
    return Estimate(value, math.sqrt(seeds + clustered_variance(items / gap, groups)))


def paired(first: Floats, second: Floats, groups: npt.NDArray[np.int64], pooled: float = 0.0) -> Estimate:
    """Difference of two accuracies on the same items: what the items share cancels."""
    items = first.mean(axis=0) - second.mean(axis=0)
    mean = float(items.mean())
    sampling = clustered_variance(items - mean, groups), float(np.unique(groups).size - 1)
    parts = [(_of_mean(one, pooled), float(len(one) - 1)) for one in (first, second)] + [sampling]
    return Estimate(mean, math.sqrt(sum(variance for variance, _ in parts)), _freedom(parts))


def _freedom(parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of (variance, its degrees of freedom) (Satterthwaite 1946; Welch 1947).

    A variance that is not the sample's own, as the pooled one of a single seed, counts as known.
    """
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts if freedom > 0)
    return total**2 / spread if spread > 0 else math.inf


def pool(variances: list[float | None]) -> float:
    """Mean of the known seed variances: what one seed of a method is taken to vary by; 0 if none is known."""
    known = [value for value in variances if value is not None]
    return sum(known) / len(known) if known else 0.0
