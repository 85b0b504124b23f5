"""Random search over methods and configurations: what `search` has to beat at equal runs (Bergstra and Bengio 2012)."""

from __future__ import annotations

import random
from collections.abc import Mapping

from aar_api.wire import Brief
from optuna.samplers import BaseSampler, RandomSampler

from aar_agent.desk import Desk
from aar_agent.explore import Strategy, explore

SUMMARY = "A method and a configuration at random, alone; the peer that shows what searching is worth."


def run(desk: Desk, brief: Brief) -> str:
    """Draw until there is nothing more to do."""

    def sampler(known: int) -> BaseSampler:
        return RandomSampler(seed=(brief.search_seed + known) % 2**32)

    return explore(desk, brief, Strategy("random", sampler, pick, shares=False))


def pick(known: Mapping[str, list[float]], repeats: list[list[float]], rng: random.Random) -> str:
    """Any method."""
    return rng.choice(sorted(known))
