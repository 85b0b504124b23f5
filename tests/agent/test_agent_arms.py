"""Spaces of methods, and colleagues' snapshots made into something to vary."""

import pytest
from aar_agent import arms
from aar_api.wire import Hyper, LeaderboardRow, MethodCard

CARD = MethodCard(
    name="m",
    summary="",
    citation="",
    source="x",
    space={
        "rate": Hyper(kind="float", low=0.1, high=1.0, log=True, default=0.5),
        "n": Hyper(kind="int", low=1, high=4, default=2),
        "hard": Hyper(kind="choice", choices=(True, False), default=True),
    },
)

POINTS = {
    "inside": ({"rate": 0.2, "n": 3, "hard": False}, {"rate": 0.2, "n": 3, "hard": False}),
    "absent values are the defaults": ({"n": 1}, {"rate": 0.5, "n": 1, "hard": True}),
    "too high": ({"rate": 2.0}, None),
    "wrong type": ({"n": "three"}, None),
    "no such choice": ({"hard": "maybe"}, None),
    "unknown name": ({"depth": 1}, None),
}


@pytest.mark.parametrize(("config", "point"), POINTS.values(), ids=POINTS)
def test_point_of_a_configuration(config, point):
    assert arms.of_card(CARD).params_of(config) == point


def row(config, snapshot="sha256:" + "a" * 64):
    return LeaderboardRow(
        rank=1, experiment="e", researcher="r9", label="theirs", snapshot=snapshot, config=config, pgr=0.9, stderr=0.1,
        n_seeds=1,
    )  # fmt: skip


def test_adopted_numbers_are_stretched_and_the_rest_stays():
    arm = arms.of_row(row({"rate": 0.2, "n": 1, "hard": True, "loss": "mse", "shift": -1.0}))
    assert arm is not None
    assert {name: (hyper.low, hyper.high) for name, hyper in arm.space.items()} == {"rate": (0.1, 0.4), "n": (1, 2)}
    assert arm.fixed == {"hard": True, "loss": "mse", "shift": -1.0}


@pytest.mark.parametrize("given", [row({}), row({"hard": True}), row({"x": 1.0}, snapshot=None)])
def test_nothing_to_vary_is_not_adopted(given):
    assert arms.of_row(given) is None
