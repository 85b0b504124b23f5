"""The bandit's arithmetic against values worked out by hand."""

import random

import pytest
from aar_agent import bandit
from aar_agent.bandit import Belief

# Precisions with noise .05: prior 1/.09 = 11.111, each result 1/(.0025 + .0144) = 59.172.
BELIEFS = {
    "nothing known": ([], 0.3, 0.3),
    "one result": ([0.6], (0.3 * 11.1111 + 59.1716 * 0.6) / 70.2827, 70.2827**-0.5),
    "a crash": ([0.0], 0.3 * 11.1111 / 70.2827, 70.2827**-0.5),
    "only the better two of five count": (
        [0.1, 0.9, 0.0, 0.7, 0.2],
        (0.3 * 11.1111 + 59.1716 * 1.6) / 129.4543,
        129.4543**-0.5,
    ),
}


@pytest.mark.parametrize(("values", "mean", "sd"), BELIEFS.values(), ids=BELIEFS)
def test_belief(values, mean, sd):
    got = bandit.belief(values, noise=0.05)
    assert (got.mean, got.sd) == (pytest.approx(mean, abs=1e-5), pytest.approx(sd, abs=1e-5))


NOISES = {
    "no repeats: the default": ([], 0.07),
    "single runs say nothing": ([[0.1], [0.9]], 0.07),
    "one pair, half the weight": ([[0.4, 0.6]], ((0.07**2 + 0.02) / 2) ** 0.5),
    "three and two": ([[0.1, 0.2, 0.3], [0.5, 0.5], [0.9]], ((0.07**2 + 0.02) / 4) ** 0.5),
}


@pytest.mark.parametrize(("repeats", "noise"), NOISES.values(), ids=NOISES)
def test_seed_noise(repeats, noise):
    assert bandit.seed_noise(repeats) == pytest.approx(noise)


SHARES = {
    "equal beliefs, equal shares": ({"a": Belief(0.3, 0.1), "b": Belief(0.3, 0.1)}, 0.5),
    "one standard deviation apart": ({"a": Belief(0.4, 0.1), "b": Belief(0.4 - 0.1 * 2**0.5, 0.1)}, 0.8413),
    "certain": ({"a": Belief(0.9, 0.01), "b": Belief(0.1, 0.01)}, 1.0),
}


@pytest.mark.parametrize(("beliefs", "share"), SHARES.values(), ids=SHARES)
def test_thompson_plays_a_method_as_often_as_it_is_believed_best(beliefs, share):
    rng = random.Random(1)
    draws = [bandit.thompson(beliefs, rng) for _ in range(4000)]
    assert draws.count("a") / len(draws) == pytest.approx(share, abs=0.03)


def test_the_same_generator_gives_the_same_choice():
    beliefs = {name: Belief(0.3, 0.3) for name in "abcde"}
    assert len({bandit.thompson(beliefs, random.Random(3)) for _ in range(5)}) == 1
