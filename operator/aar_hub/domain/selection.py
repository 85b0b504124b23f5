"""Which configurations are verified, and which of them are confirmed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from aar_api import digest
from aar_api.base import Scalar

from aar_hub.domain.scoring import Estimate

LEVEL = 0.05
"""Chance, over all candidates together, of confirming one that is no better than vanilla."""
NORMAL = 100_000
"""Degrees of freedom from which the normal distribution agrees to five digits."""
STEPS = 1000
"""Even; at 1 degree of freedom, the hardest, the integral is exact, and at 100,000 it is to nine digits."""


@dataclass(frozen=True)
class Candidate:
    """A scored experiment."""

    experiment: str
    code: str | None
    """Digest of what the snapshot does (`snapshot.essence`); none for a built-in."""
    builtin: str | None
    config: Mapping[str, Scalar]
    """The hyper-parameters that the method can read."""
    pgr: float

    @property
    def configuration(self) -> str:
        """What makes two experiments the same method: code and hyper-parameters, not seeds."""
        return digest.of_json([self.code, self.builtin, dict(self.config)])


def distinct(candidates: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
    """One candidate a configuration with its mean PGR over repeats, best first; ties by name, so that the order is always the same.

    The mean, not the best repeat: the best of repeats rewards repeating.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.configuration, []).append(candidate)
    means = [(group[0], sum(one.pgr for one in group) / len(group)) for group in groups.values()]
    return sorted(means, key=lambda pair: (-pair[1], pair[0].experiment))


def p_value(lead: Estimate) -> float:
    """One-sided: chance of so large a lead over vanilla if there were none; by Student's t, since a few seeds tell little of their variance."""
    if lead.stderr <= 0:
        return 0.0 if lead.value > 0 else 1.0
    t = lead.value / lead.stderr
    return 1.0 - NormalDist().cdf(t) if lead.freedom > NORMAL else 0.5 - math.copysign(_within(abs(t), lead.freedom), t)


def _within(t: float, freedom: float) -> float:
    """Chance that Student's t lies between 0 and t: the integral of cos^(freedom - 1) up to atan(t / sqrt(freedom)), by Simpson's rule."""
    end = math.atan(t / math.sqrt(freedom))
    angles = np.linspace(0.0, end, STEPS + 1)
    weights = np.where(np.arange(STEPS + 1) % 2 == 1, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    area = float((weights * np.cos(angles) ** (freedom - 1)).sum()) * end / STEPS / 3
    return area * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)


def holm(p_values: Mapping[str, float], level: float = LEVEL) -> set[str]:
    """Names whose hypothesis is rejected (Holm 1979): the i-th smallest p must be at most level / (m - i), up to the first that is not."""
    rejected: set[str] = set()
    ranked = sorted(p_values, key=lambda name: (p_values[name], name))
    for position, name in enumerate(ranked):
        if p_values[name] > level / (len(ranked) - position):
            break
        rejected.add(name)
    return rejected
