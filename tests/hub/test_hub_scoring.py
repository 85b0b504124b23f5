"""PGR and its error against sums done by hand, and against the spread of a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from aar_hub.domain import scoring

GROUPS = np.array([0, 0, 1, 1])
EACH_ALONE = np.arange(4)
# Means over seeds by item, and over all:     A = 5/8, W = 3/8, C = 7/8, gap 1/2, PGR 1/2
METHOD = np.array([[1.0, 1, 1, 0], [1, 1, 0, 0]])  # [1, 1, 1/2, 0]     seeds 3/4, 1/2
WEAK = np.array([[1.0, 0, 0, 0], [1, 1, 0, 0]])  # [1, 1/2, 0, 0]       seeds 1/4, 1/2
CEILING = np.array([[1.0, 1, 1, 1], [1, 1, 1, 0]])  # [1, 1, 1, 1/2]    seeds 1, 3/4
# Each pair of seeds is 1/4 apart: variance of a seed 2 (1/8)^2 = 1/32, of the mean of two 1/64.
# Seeds: (1/64)(1 + ((C-A)/gap)^2 + ((A-W)/gap)^2) / gap^2 = (1/64)(1 + 1/4 + 1/4) 4 = 3/32.
# Influence of the items: a_i - A - (w_i - W)/2 - (c_i - C)/2 = 0, 1/4, 0, -1/4; over the gap 0, 1/2, 0, -1/2.
# By problem 1/2 and -1/2: (1/4 + 1/4) / 4^2 x 2/1 = 1/16. Each alone: (1/4 + 1/4) / 4^2 x 4/3 = 1/24.


@pytest.mark.parametrize(
    ("groups", "items"),
    [pytest.param(GROUPS, 1 / 16, id="two problems"), pytest.param(EACH_ALONE, 1 / 24, id="each item alone")],
)
def test_pgr_by_hand(groups: np.ndarray, items: float) -> None:
    found = scoring.pgr(METHOD, WEAK, CEILING, groups)
    assert found.value == pytest.approx(1 / 2)
    assert found.stderr == pytest.approx(math.sqrt(3 / 32 + items))


def test_one_seed_takes_the_pooled_variance() -> None:
    # Method of one seed [1, 1, 1, 0]: A = 3/4, PGR 3/4. Seeds: (pooled + (1/64)(1/4)^2 + (1/64)(3/4)^2) / (1/4).
    # Influence x gap: a_i - A = 1/4, 1/4, 1/4, -3/4; minus (1/4)(5/8, 1/8, -3/8, -3/8), minus (3/4)(1/8, 1/8, 1/8, -3/8)
    # = 0, 1/8, 1/4, -3/8; over the gap 0, 1/4, 1/2, -3/4; by problem 1/4, -1/4: (1/8) / 16 x 2 = 1/64.
    found = scoring.pgr(METHOD[:1], WEAK, CEILING, GROUPS, pooled=1 / 32)
    assert found.value == pytest.approx(3 / 4)
    assert found.stderr == pytest.approx(math.sqrt((1 / 32 + (1 / 64) * (1 / 16 + 9 / 16)) * 4 + 1 / 64))


def test_accuracy_by_hand() -> None:
    # a_i - A = 3/8, 3/8, -1/8, -5/8; by problem 3/4, -3/4: (9/8) / 16 x 2 = 9/64; seeds 1/64.
    found = scoring.accuracy(METHOD, GROUPS)
    assert (found.value, found.stderr) == (pytest.approx(5 / 8), pytest.approx(math.sqrt(10 / 64)))


@pytest.mark.parametrize(
    ("groups", "items"),
    # a_i - w_i = 0, 1/2, 1/2, 0 with mean 1/4: -1/4, 1/4, 1/4, -1/4; within the problems they cancel. Alone: (4/16) / 16 x 4/3.
    [pytest.param(GROUPS, 0.0, id="cancels"), pytest.param(EACH_ALONE, 1 / 48, id="each item alone")],
)
def test_paired_by_hand(groups: np.ndarray, items: float) -> None:
    found = scoring.paired(METHOD, WEAK, groups)
    assert (found.value, found.stderr) == (pytest.approx(1 / 4), pytest.approx(math.sqrt(2 / 64 + items)))


def test_the_same_predictions_differ_by_nothing() -> None:
    one = METHOD[:1]
    assert scoring.paired(one, one, GROUPS) == scoring.Estimate(0.0, 0.0)


@pytest.mark.parametrize(
    ("predicted", "truth", "right"),
    [(0.51, True, 1), (0.49, False, 1), (0.5, True, 0), (0.5, False, 1), (1.0, False, 0), (0.0, True, 0)],
)
def test_a_tie_counts_as_false(predicted: float, truth: bool, right: int) -> None:
    assert scoring.correctness(np.array([predicted]), np.array([truth])).tolist() == [[right]]


@pytest.mark.parametrize("weak", [CEILING, np.ones((2, 4))], ids=["equal", "above"])
def test_no_gap_is_a_sentence(weak: np.ndarray) -> None:
    with pytest.raises(scoring.UndefinedPgr, match=r"0\.8750 and the weak floor .* but PGR needs .*: choose"):
        scoring.pgr(METHOD, weak, CEILING, GROUPS)


@pytest.mark.parametrize(("known", "mean"), [([], 0.0), ([None], 0.0), ([None, 0.2], 0.2), ([0.1, 0.3], 0.2)], ids=str)
def test_pool(known: list[float | None], mean: float) -> None:
    assert scoring.pool(known) == pytest.approx(mean)


def draw(
    rng: np.random.Generator, n_problems: int, size: int, whim: float = 0.3
) -> tuple[list[np.ndarray], np.ndarray]:
    """Correctness of method, weak and ceiling: problems and items of unlike difficulty for all three, seeds of unlike luck.

    `whim` is how much a seed differs from its sisters on single items.
    """
    groups = np.repeat(np.arange(n_problems), size)
    hard = np.repeat(rng.normal(0, 0.8, n_problems), size) + rng.normal(0, 0.5, groups.size)
    found = []
    for level, seeds in ((0.6, 3), (0.2, 4), (1.2, 4)):
        luck, taste = rng.normal(0, 0.12, (seeds, 1)), rng.normal(0, 0.7, groups.size)
        found.append((rng.normal(level + luck + taste, whim, (seeds, groups.size)) > hard).astype(float))
    return found, groups


@pytest.mark.parametrize(
    ("whim", "low", "high"),
    # 500 draws give a standard deviation to within 3.2 per cent (1 / sqrt(1000)); about three of these on either side.
    [pytest.param(0.3, 0.9, 1.12, id="seeds agree on most items"), pytest.param(1.0, 0.9, 1.25, id="on few")],
)
def test_stated_error_is_about_the_true_spread(whim: float, low: float, high: float) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(500):
        (method, weak, ceiling), groups = draw(rng, 60, 5, whim)
        found.append(
            (
                scoring.pgr(method, weak, ceiling, groups),
                scoring.accuracy(method, groups),
                scoring.paired(method, weak, groups),
            )
        )
    for column, what in enumerate(("pgr", "accuracy", "paired")):
        values = np.array([row[column].value for row in found])
        stated = math.sqrt(np.mean([row[column].stderr ** 2 for row in found]))
        ratio = stated / values.std(ddof=1)
        print(what, ratio)
        assert low < ratio < high, f"{what}: stated over true is {ratio:.3f}"


def test_error_without_problems_would_be_too_small() -> None:
    """What the clustering is for: with each item alone, the same data states less than the true spread."""
    rng = np.random.default_rng(8)
    drawn = [draw(rng, 40, 10) for _ in range(300)]
    values = [scoring.accuracy(parts[0], groups).value for parts, groups in drawn]
    alone = [scoring.accuracy(parts[0], np.arange(groups.size)).stderr for parts, groups in drawn]
    assert math.sqrt(np.mean(np.square(alone))) < 0.85 * np.std(values, ddof=1)
