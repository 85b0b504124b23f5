"""Comparing the rows of a bundle with one another gives no label away: measured on each task at its default size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from aar_hub import tasks
from aar_hub.domain import rows
from aar_hub.tasks._alike import WORDS, _apart
from sklearn.feature_extraction.text import TfidfVectorizer

MARGIN = 0.03
"""Above the word overlap of a row with itself: about three standard errors of the difference at 1,500 rows."""
MARGINS = {"math": 0.06}
"""math is known to be weaker: a problem asks several rows, as many right as wrong, so its rows can be ranked among themselves (0.85
against 0.81 for the rows on their own)."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Chance that a True row scores above a False one, ties half."""
    order = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(order[2])
    rank = (ends - (order[2] - 1) / 2)[order[1]]
    n = int(label.sum())
    return float((rank[label].sum() - n * (n + 1) / 2) / (n * (label.size - n)))


def attacks(name: str) -> tuple[dict[str, float], float, int]:
    """AUC of every attack on the public rows of a task, of the word-overlap baseline, and the number of rows."""
    items = tasks.resolve(name, {}).build()
    splits = [[(item.question, item.choice) for item in split] for split in (items.train, items.test, items.labelled)]
    key = rows.data_digest(splits)
    public = []
    for split, given, texts in zip(("train", "test"), (items.train, items.test), splits, strict=False):
        public += [(mark, given[position]) for position, mark in rows.shuffled(key, split, texts)]
    label = np.array([item.label for _, item in public])
    questions, choices = [item.question for _, item in public], [item.choice for _, item in public]
    words = TfidfVectorizer(preprocessor=_apart, token_pattern=WORDS).fit(questions + choices)
    q, c = words.transform(questions), words.transform(choices)
    cross, rival = (q @ c.T).toarray(), (c @ c.T).toarray()  # cross[i, j]: question i with choice j
    own = np.diag(cross).copy()
    np.fill_diagonal(cross, -1)
    np.fill_diagonal(rival, -1)
    found = {
        "another question fits the choice better": own - cross.max(0),
        "another choice fits the question better": own - cross.max(1),
        "the choice has a near twin": rival.max(1),
        "rank of the own question among all": -(cross >= own[None, :]).sum(0).astype(float),
        "rank of the own choice among all": -(cross >= own[:, None]).sum(1).astype(float),
        "best rows of the question": _within(questions, own, np.median),
        "rows of the question fall in two": _sides(questions, own, rival),
        "choice in two rows": np.array([choices.count(one) for one in choices], dtype=float),
        "question in many rows": np.array([questions.count(one) for one in questions], dtype=float),
        "place in the file": np.arange(label.size, dtype=float),
        "id": np.array([int(mark, 16) for mark, _ in public], dtype=float),
        "length of the choice": np.array([len(one) for one in choices], dtype=float),
    }
    return {what: auc(score, label) for what, score in found.items()}, auc(own, label), label.size


def _same(questions: list[str]) -> list[np.ndarray]:
    """Rows of each question."""
    _, codes = np.unique(np.array(questions), return_inverse=True)
    return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]


def _within(questions: list[str], own: np.ndarray, middle: Callable[[np.ndarray], float]) -> np.ndarray:
    """Overlap against that of the other rows of the same question: each has as many right as wrong ones."""
    found = own.copy()
    for place in _same(questions):
        if place.size > 1:
            found[place] = own[place] - middle(own[place])
    return found


def _sides(questions: list[str], own: np.ndarray, rival: np.ndarray) -> np.ndarray:
    """Rows of a question split in two by which choices are alike; the side that fits the question better is taken to be right."""
    found = own - np.median(own)
    for place in _same(questions):
        if place.size > 2:
            alike = rival[np.ix_(place, place)]
            np.fill_diagonal(alike, 1)
            alike = alike - alike.mean(0) - alike.mean(1)[:, None] + alike.mean()
            side = np.linalg.eigh(alike)[1][:, -1]
            found[place] = side * np.sign(side @ (own[place] - own[place].mean()) or 1)
    return found


@pytest.mark.parametrize("name", tasks.names())
def test_rival_comparison_gives_no_label_away(name: str, record_property: pytest.RecordProperty) -> None:
    found, overlap, n = attacks(name)
    record_property("figures", {"overlap": overlap, "rows": n, **found})
    # AUC of a score without information has a standard error of sqrt((n + 1) / (3 n^2)); a dozen attacks, so four of these.
    most = max(abs(overlap - 0.5) + MARGINS.get(name, MARGIN), 4 * np.sqrt((n + 1) / (3 * n**2)))
    too_good = {what: round(value, 3) for what, value in found.items() if abs(value - 0.5) > most}
    assert not too_good, f"word overlap alone has an AUC of {overlap:.3f}"
