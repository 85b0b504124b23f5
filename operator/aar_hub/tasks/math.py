"""Which step belongs to the solution of which problem: competition mathematics."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator

from aar_hub.tasks import _matching, _pairs, _sources
from aar_hub.tasks._task import Item, Items, Params, Spec

SPEC = Spec(
    summary="Is this a step of the solution of this competition problem?",
    licence="MIT",
    package="champ-dataset==1.0.0",
    pairing="pair",
    defaults={
        # The data is small: what the ceiling learns from counts for more than the size of the test set.
        "n_labelled": 100,
        "n_train": 700,
        "n_test": 300,
        "negatives": "hard",
        "weak_layers": 1,
        "strong_layers": 5,
        "max_tokens": 96,
    },
)
STEP_LENGTHS = range(20, 301)
_BETWEEN = "\n"
"""Between the steps of one problem while problems are paired off; no step holds a line break."""


def build(params: Params) -> Items:
    """Pair off whole problems; one of each pair asks, with as many steps of its own as of the other, which stands in no split."""
    sizes = (params.n_labelled, params.n_train, params.n_test)
    rng = random.Random(f"math {params.data_seed}")
    pairs = _pairs.matcher(params, 4)(_pairs.unique(_problems()), rng)
    units = [_rows(pair, rng) for pair in pairs]
    _pairs.check_total("math", sizes, sum(map(len, units)))
    parts: list[list[Item]] = [[] for _ in sizes]
    for unit in units:
        emptiest = min(range(len(sizes)), key=lambda i: len(parts[i]) / sizes[i])
        parts[emptiest].extend(unit)
    fits = min(len(part) * sum(sizes) // size for part, size in zip(parts, sizes, strict=True))
    _pairs.check_total("math", sizes, fits)
    return Items(*(_pairs.half_true(part, size, rng) for part, size in zip(parts, sizes, strict=True)))


def _problems() -> Iterator[_matching.Source]:
    path = _sources.folder("champ_dataset", SPEC.package) / "dataset_files" / "v0.json"
    for name, problem in json.loads(path.read_text(encoding="utf-8"))["problems"].items():
        steps = [_sources.one_line(step["_text"]) for step in problem["solution"]["steps"]]
        kept = list(dict.fromkeys(step for step in steps if len(step) in STEP_LENGTHS))
        if kept:
            yield _matching.Source(name, _sources.one_line(problem["_text"]), _BETWEEN.join(kept))


def _rows(pair: _matching.Pair, rng: random.Random) -> list[Item]:
    """As many steps of its own, drawn, as of the other, those that share most words with the problem."""
    asks, other = pair if rng.random() < 0.5 else pair[::-1]
    own, foreign = asks.choice.split(_BETWEEN), other.choice.split(_BETWEEN)
    n = min(len(own), len(foreign))
    asked = _words(asks.question)
    tempting = sorted(rng.sample(foreign, len(foreign)), key=lambda step: _shared(_words(step), asked))[-n:]
    return [
        Item(asks.group, asks.question, step, label)
        for steps, label in ((rng.sample(own, n), True), (tempting, False))
        for step in steps
    ]


def _words(text: str) -> set[str]:
    return set(re.findall(_sources.WORDS, text.lower()))


def _shared(step: set[str], asked: set[str]) -> float:
    """Shared words over the root of the step's own, so that a long step is not tempting for its length."""
    return len(step & asked) / math.sqrt(len(step) + 1)
