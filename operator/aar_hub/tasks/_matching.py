"""Sources and their pairing off: which two items make a row, and the plainest way to choose them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A question with its right choice."""

    group: str
    question: str
    choice: str


Pair = tuple[Source, Source]
Matcher = Callable[[Sequence[Source], random.Random], list[Pair]]


def anyone(sources: Sequence[Source], rng: random.Random) -> list[Pair]:
    """Pair off at random, never within a group."""
    waiting: list[Source] = []
    pairs: list[Pair] = []
    for item in rng.sample(sources, len(sources)):
        partner = next((i for i, other in enumerate(waiting) if other.group != item.group), None)
        if partner is None:
            waiting.append(item)
        else:
            pairs.append((waiting.pop(partner), item))
    return pairs
