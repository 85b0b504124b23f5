"""Bayesian search over methods: Thompson sampling picks the method, a tree-structured Parzen estimator its configuration."""

from __future__ import annotations

import random
from collections.abc import Mapping

from aar_api.wire import Brief
from optuna.samplers import BaseSampler, TPESampler

from aar_agent import bandit
from aar_agent.desk import Desk
from aar_agent.explore import Strategy, explore

SUMMARY = "Thompson sampling over methods, TPE (Bergstra et al. 2011) within each; no LLM. The honest control group."
STARTUP_TRIALS = 4
"""Runs of a method that are drawn blindly before its results steer the draw; its published defaults are the first."""


def run(desk: Desk, brief: Brief) -> str:
    """Search until there is nothing more to do."""

    def sampler(known: int) -> BaseSampler:
        return TPESampler(seed=(brief.search_seed + known) % 2**32, n_startup_trials=STARTUP_TRIALS)

    return explore(desk, brief, Strategy("search", sampler, pick))


def pick(known: Mapping[str, list[float]], repeats: list[list[float]], rng: random.Random) -> str:
    """The method whose belief gives the highest draw."""
    noise = bandit.seed_noise(repeats)
    return bandit.thompson({name: bandit.belief(values, noise) for name, values in known.items()}, rng)
