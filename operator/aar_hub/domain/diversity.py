"""How many ideas a campaign has tried: experiments grouped by where their code began, and how evenly they are spread."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def origin(snapshot: str, parents: Mapping[str, Sequence[str]]) -> str:
    """The snapshot from which a line of edits began, by first parents: an edited method is still the same idea.

    A parent is stored before its child, so the line ends.
    """
    while parents.get(snapshot):
        snapshot = parents[snapshot][0]
    return snapshot


def effective_number(counts: Iterable[int]) -> float:
    """Number of equally common ideas that would be as diverse: the exponential of Shannon's entropy; 0 for none.

    Hill, "Diversity and Evenness: A Unifying Notation and Its Consequences", Ecology 54 (1973), order 1.
    """
    present = [count for count in counts if count > 0]
    total = sum(present)
    return math.exp(-sum(n / total * math.log(n / total) for n in present)) if present else 0.0
