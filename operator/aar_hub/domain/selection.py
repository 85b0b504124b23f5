"""Which configurations are verified, and which of them are confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from aar_api import digest
from aar_api.base import Scalar

LEVEL = 0.05
"""Chance, over all candidates together, of confirming one that is no better than vanilla."""


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


def p_value(difference: float, stderr: float) -> float:
    """One-sided: chance of so large a lead over vanilla if there were none."""
    if stderr <= 0:
        return 0.0 if difference > 0 else 1.0
    return 1.0 - NormalDist().cdf(difference / stderr)


def holm(p_values: Mapping[str, float], level: float = LEVEL) -> set[str]:
    """Names whose hypothesis is rejected (Holm 1979): the i-th smallest p must be at most level / (m - i), up to the first that is not."""
    rejected: set[str] = set()
    ranked = sorted(p_values, key=lambda name: (p_values[name], name))
    for position, name in enumerate(ranked):
        if p_values[name] > level / (len(ranked) - position):
            break
        rejected.add(name)
    return rejected
