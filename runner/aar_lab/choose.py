"""Choosing and calibrating rows: what several methods share. Pure numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


def surest(p: Numbers, share: float, *, balanced: bool = True) -> Rows:
    """Rows whose P(True) is farthest from a coin flip, sorted; `balanced` takes the same share of each class.

    Without balance, a teacher who is surer of one class would hand over that class alone.
    """
    sides = (np.flatnonzero(p >= 0.5), np.flatnonzero(p < 0.5)) if balanced else (np.arange(len(p)),)
    taken = [
        side[np.argsort(-np.abs(p[side] - 0.5), kind="stable")[: max(1, round(share * len(side)))]] for side in sides
    ]
    return np.sort(np.concatenate(taken)).astype(np.int64)


def as_many(rows: Rows, n: int) -> Rows:
    """The rows over and over until there are n: fewer rows would mean fewer steps, and stopping early is a method of its own."""
    return np.resize(rows, max(n, len(rows)))


def folds(n: int, k: int, rng: np.random.Generator) -> list[Rows]:
    """All rows dealt at random into k parts of like size."""
    return [np.sort(part).astype(np.int64) for part in np.array_split(rng.permutation(n), k)]


def ranked(scores: npt.ArrayLike, share_true: float = 0.5) -> Numbers:
    """Scores of any scale as P(True): by rank, such that the highest `share_true` of them lie above one half."""
    values = np.asarray(scores, dtype=np.float64)
    place = (np.argsort(np.argsort(values, kind="stable"), kind="stable") + 0.5) / len(values)
    false = 1 - share_true
    low, high = 0.5 * place / max(false, 1e-9), 0.5 + 0.5 * (place - false) / max(share_true, 1e-9)
    return np.clip(np.where(place < false, low, high), 0.0, 1.0).astype(np.float32)
