"""Hard negatives: pair off items whose swap changes the shared words least, so that word overlap cannot tell right from wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from aar_hub.tasks._matching import Matcher, Pair, Source
from aar_hub.tasks._sources import WORDS


def alike(candidates: int | None = None) -> Matcher:
    """A matcher that looks at so many items for each (all if absent) and takes the one that balances the overlap best.

    Two items that overlap with their own choice as much as with the other's leave a statistic of words nothing to go by.
    """

    def match(sources: Sequence[Source], rng: random.Random) -> list[Pair]:
        questions, choices = [s.question for s in sources], [s.choice for s in sources]
        words = TfidfVectorizer(binary=True, preprocessor=_apart, token_pattern=WORDS).fit(questions + choices)
        q, c = words.transform(questions), words.transform(choices)
        own = np.asarray(q.multiply(c).sum(1)).ravel()
        free = rng.sample(range(len(sources)), len(sources))
        pairs: list[Pair] = []
        while len(free) > 1:
            a = free.pop()
            others = [i for i in free if sources[i].group != sources[a].group]
            if not others:
                continue
            seen = others if candidates is None else rng.sample(others, min(candidates, len(others)))
            asked, answered = (q[a] @ c[seen].T).toarray()[0], (q[seen] @ c[a].T).toarray()[:, 0]
            b = seen[int(np.argmin(np.abs(asked - own[a]) + np.abs(answered - own[seen])))]
            free.remove(b)
            pairs.append((sources[a], sources[b]))
        return pairs

    return match


def _apart(text: str) -> str:
    """Lower case; identifiers fall apart at underscores and capitals, as a reader's eye would have it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()
