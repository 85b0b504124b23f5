"""Words two texts share: the plainest label-free signal there is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"[a-z]+|[0-9]+")


def words(text: str) -> frozenset[str]:
    """Distinct lower-case words; identifiers fall apart at underscores and capitals."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return frozenset(_WORD.findall(apart.lower()))


def overlap(pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """Cosine of the two texts' binary word vectors, weighted by inverse document frequency over the given pairs."""
    bags = [(words(question), words(choice)) for question, choice in pairs]
    seen = Counter(word for bag in bags for side in bag for word in side)
    idf = {word: math.log(2 * len(bags) / count) + 1 for word, count in seen.items()}

    def norm(bag: frozenset[str]) -> float:
        return math.sqrt(sum(idf[word] ** 2 for word in bag)) or 1.0

    scores = [sum(idf[word] ** 2 for word in q & c) / (norm(q) * norm(c)) for q, c in bags]
    return np.asarray(scores, dtype=np.float32)
