"""Questions with right and wrong choices, such that no text statistic gives a label away.

Items are paired off first, and each pair (a, b) makes one row. Two coins say which of the two asks
the question, and whether the choice is its own (True) or the other's (False). So

- a choice, seen alone, is equally likely right or wrong, whatever it is, and so is a question;
- the other item's question, and the choice that was not taken, stand in no split, so comparing rows with one another
  gives nothing away: every row lacks exactly one partner;
- every text of the source is used at most once.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from aar_api.errors import InvalidInput

from aar_hub.tasks._matching import Matcher, Pair, Source, anyone
from aar_hub.tasks._task import Item, Items, Params

SPARE = 1.5
"""Items dealt to a split for each that it needs, where the data has so many: choice for the matcher."""


def unique(sources: Iterable[Source]) -> list[Source]:
    """Those whose question and choice both appear once; near-identical texts (case, spaces) count as one."""
    kept = list(sources)
    for field in ("question", "choice"):
        seen: defaultdict[str, int] = defaultdict(int)
        for item in kept:
            seen[" ".join(getattr(item, field).casefold().split())] += 1
        kept = [item for item in kept if seen[" ".join(getattr(item, field).casefold().split())] == 1]
    return kept


def matcher(params: Params, candidates: int | None = None) -> Matcher:
    """The matcher that `negatives` asks for."""
    if params.negatives == "simple":
        return anyone
    from aar_hub.tasks._alike import alike  # scikit-learn takes a second to import: only if it is used

    return alike(candidates)


def split(task: str, sources: Sequence[Source], params: Params, match: Matcher) -> Items:
    """Deal whole groups to the splits, pair off within each split, and toss the coins.

    Raises:
        InvalidInput: the data holds fewer rows than the parameters ask for.
    """
    sizes = (params.n_labelled, params.n_train, params.n_test)
    check_total(task, sizes, len(sources) // 2)
    rng = random.Random(f"{task} {params.data_seed}")
    paired = [match(part, rng) for part in _deal(sources, sizes, rng)]
    check_total(task, sizes, min(len(p) * sum(sizes) // n for p, n in zip(paired, sizes, strict=True)))
    return Items(*(_rows(rng.sample(p, n), rng) for p, n in zip(paired, sizes, strict=True)))


def check_total(task: str, sizes: Sequence[int], most: int) -> None:
    """Refuse sizes that add up to more than `most` rows.

    Raises:
        InvalidInput: they do.
    """
    if sum(sizes) > most:
        raise InvalidInput(
            f"Task {task!r} was asked for {sum(sizes)} rows (nLabelled + nTrain + nTest), but its data gives at most "
            f"{most} with these parameters: ask for fewer."
        )


def _deal(sources: Sequence[Source], sizes: Sequence[int], rng: random.Random) -> list[list[Source]]:
    by_group: defaultdict[str, list[Source]] = defaultdict(list)
    for item in sources:
        by_group[item.group].append(item)
    slack = min(SPARE, len(sources) / (2 * sum(sizes)))
    wanted = [2 * size * slack for size in sizes]
    parts: list[list[Source]] = [[] for _ in sizes]
    for group in rng.sample(sorted(by_group), len(by_group)):
        emptiest = min(range(len(sizes)), key=lambda i: len(parts[i]) / wanted[i])
        if len(parts[emptiest]) >= wanted[emptiest]:
            break
        parts[emptiest].extend(by_group[group])
    return parts


def _rows(pairs: Sequence[Pair], rng: random.Random) -> tuple[Item, ...]:
    labels = [i % 2 == 0 for i in range(len(pairs))]
    rng.shuffle(labels)
    rows = []
    for pair, label in zip(pairs, labels, strict=True):
        asks, other = pair if rng.random() < 0.5 else pair[::-1]
        rows.append(Item(asks.group, asks.question, asks.choice if label else other.choice, label))
    return tuple(rows)


def half_true(items: Sequence[Item], n: int, rng: random.Random) -> tuple[Item, ...]:
    """Draw n of the items in random order, half of them True (one more False than True if n is odd).

    Raises:
        InvalidInput: one class has too few.
    """
    right, wrong = ([item for item in items if item.label is label] for label in (True, False))
    wanted = (n // 2, n - n // 2)
    if len(right) < wanted[0] or len(wrong) < wanted[1]:
        raise InvalidInput(
            f"A split of {n} rows needs {wanted[1]} of each class, but there are {len(right)} True and {len(wrong)} False: ask for fewer."
        )
    drawn = rng.sample(right, wanted[0]) + rng.sample(wrong, wanted[1])
    rng.shuffle(drawn)
    return tuple(drawn)


def no_hard_negatives(task: str) -> InvalidInput:
    """The error for a task whose labels come with the data."""
    return InvalidInput(
        f"Parameter negatives of task {task!r} is 'hard', but its labels come with the data and no choice is swapped: use 'simple'."
    )
