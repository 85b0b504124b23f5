"""Every method file, found by its name: its contract, its settings and what it reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aar_api import plugins
from aar_api.base import Scalar
from aar_lab import methods
from aar_lab.bundle import Bundle
from aar_lab.lab import Lab
from aar_lab.train import merge_config
from lab import world

NAMES = plugins.names(methods)


def load(name: str) -> Any:
    return plugins.load(methods, name, "method")


def settings_of(name: str) -> Iterator[tuple[str, dict[str, Scalar]]]:
    """Each end and each choice of each setting, one at a time."""
    for key, hyper in load(name).SPACE.items():
        for value in hyper.choices or (hyper.low, hyper.high):
            given = int(value) if hyper.kind == "int" else value
            yield f"{name}-{key}-{given}", {key: given}


def run(name: str, folder: Path, config: dict[str, Scalar], weak: np.ndarray | None = None) -> np.ndarray:
    bundle = Bundle(folder)
    if weak is not None:
        bundle.__dict__["weak"] = weak
    method = load(name)
    lab = Lab(bundle, seed=3, config=merge_config(method, config), scratch=folder, seconds=60)
    return np.asarray(method.train(lab))


def check(p: np.ndarray) -> None:
    assert p.shape == (world.N_TEST,)
    assert np.isfinite(p).all()
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_method_runs_supervised_at_its_defaults(name: str, pod: world.Pod, bundle_folder: Path) -> None:
    pod.place(bundle_folder, world.assignment(builtin=name, config=load(name).DEFAULTS))
    code, errors = pod.run("supervise")
    assert (code, pod.report().reason) == (0, ""), errors
    check(pod.arrays()["test"])
    assert pod.arrays()["test"].std() > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_a_card_cites_and_its_space_agrees_with_its_defaults(name: str) -> None:
    method = load(name)
    assert any(character.isdigit() for character in method.CITATION), "a year"
    assert {key: hyper.default for key, hyper in method.SPACE.items()} == method.DEFAULTS
    for key, hyper in method.SPACE.items():
        if hyper.choices:
            assert hyper.default in hyper.choices, key
        else:
            assert hyper.low <= hyper.default <= hyper.high, key


@pytest.mark.parametrize(
    ("name", "config"),
    [pytest.param(name, config, id=label) for name in NAMES for label, config in settings_of(name)],
)
def test_a_method_runs_at_the_ends_of_its_space(name: str, config: dict[str, Scalar], bundle_folder: Path) -> None:
    check(run(name, bundle_folder, config))


@pytest.mark.parametrize("name", NAMES)
def test_a_method_reads_weak_labels_if_and_only_if_it_says_so(name: str, bundle_folder: Path) -> None:
    weak = Bundle(bundle_folder).weak
    permuted = np.random.default_rng(0).permutation(weak)
    changed = np.abs(run(name, bundle_folder, {}) - run(name, bundle_folder, {}, permuted)).max() > 1e-6
    assert changed == load(name).USES_WEAK_LABELS


@pytest.mark.parametrize("name", NAMES)
def test_a_method_survives_the_control_without_weak_labels(name: str, bundle_folder: Path) -> None:
    check(run(name, bundle_folder, {}, np.full(world.N_TRAIN, 0.5, np.float32)))


@pytest.mark.parametrize("name", NAMES)
def test_a_method_can_be_uploaded_as_a_snapshot(name: str, tmp_path: Path) -> None:
    """It stands alone: no import from its neighbours."""
    source = Path(load(name).__file__)
    copy = shutil.copy(source, tmp_path / "method.py")
    assert "aar_lab.methods" not in Path(copy).read_text()
