"""Each head trains for real on a small slice: the loss falls, seeds count, and true labels lift it above chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aar_lab import losses
from aar_lab.baselines import ceiling, features, teacher
from aar_lab.bundle import Bundle
from aar_lab.lab import Lab
from lab import slices, world

# peft asks transformers for a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

HEADS = ("probe", "classifier", "causal-lm")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], slices.Slice]:
    """The slice of a head, made when first asked for."""
    made: dict[str, slices.Slice] = {}

    def get(head: str) -> slices.Slice:
        if head not in made:
            made[head] = slices.make(tmp_path_factory.mktemp(head), head)
        return made[head]

    return get


def lab(folder: Path, seed: int = 1, *, smoke: bool = False) -> Lab:
    return Lab(Bundle(folder), seed=seed, config={}, scratch=folder, seconds=600, smoke=smoke)


def recorded(seen: list[float]) -> losses.Loss:
    def loss(logits: Any, targets: Any, progress: float) -> Any:
        each = losses.cross_entropy(logits, targets)
        seen.append(float(each.detach().mean()))
        return each

    return loss


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_falls_and_predictions_are_probabilities(head: str, folders: Callable[[str], slices.Slice]) -> None:
    found, seen = folders(head), list[float]()
    bench = lab(found.folder)
    model = bench.finetune(found.truth["train"], loss=recorded(seen))
    p = bench.predict(model)
    assert np.mean(seen[-5:]) < np.mean(seen[:5]) - 0.01
    assert p.shape == (bench.info.n_test,)
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()
    assert p.std() > 1e-3


@pytest.mark.parametrize("head", HEADS)
def test_a_seed_gives_the_same_predictions_and_another_gives_others(
    head: str, folders: Callable[[str], slices.Slice]
) -> None:
    found = folders(head)
    first, again, other = (
        bench.predict(bench.finetune(found.truth["train"]))
        for bench in (lab(found.folder, seed, smoke=True) for seed in (5, 5, 6))
    )
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


@pytest.mark.parametrize("head", HEADS)
def test_start_goes_on_from_a_model_and_leaves_it_as_it_was(head: str, folders: Callable[[str], slices.Slice]) -> None:
    found, fresh, onward = folders(head), list[float](), list[float]()
    bench = lab(found.folder, smoke=True)
    first = bench.finetune(found.truth["train"], loss=recorded(fresh))
    before = bench.predict(first)
    second = bench.finetune(found.truth["train"], loss=recorded(onward), start=first)
    assert np.mean(onward[:5]) < np.mean(fresh[:5])
    assert np.array_equal(bench.predict(first), before)
    assert np.abs(bench.predict(second) - before).max() > 1e-3


@pytest.mark.parametrize("head", ["probe", "classifier"])
def test_true_labels_lift_the_ceiling_above_chance(head: str, folders: Callable[[str], slices.Slice]) -> None:
    found = folders(head)
    p = ceiling.produce(Bundle(found.folder), world.assignment(role="ceiling"))["test"]
    accuracy = ((p >= 0.5) == found.truth["test"]).mean()
    assert accuracy > 0.5 + 2 * 0.5 / len(p) ** 0.5, "two standard errors of a coin"


@pytest.mark.parametrize("head", HEADS)
def test_a_teacher_judges_both_splits_and_its_seed_draws_what_it_saw(
    head: str, folders: Callable[[str], slices.Slice]
) -> None:
    bundle = Bundle(folders(head).folder)
    found = [teacher.produce(bundle, world.assignment(role="teacher", seed=seed, smoke=True)) for seed in (1, 2)]
    assert {name: p.shape for name, p in found[0].items()} == {
        "test": (bundle.info.n_test,),
        "train": (bundle.info.n_train,),
    }
    assert np.abs(found[0]["train"] - found[1]["train"]).max() > 1e-4


def test_features_are_unit_rows_of_both_encoders(folders: Callable[[str], slices.Slice]) -> None:
    bundle = Bundle(folders("probe").folder)
    found = features.produce(bundle, world.assignment(role="features"))
    assert {name: array.shape for name, array in found.items()} == {
        f"{encoder}_{split}_{field}": (len(bundle.rows(split)), 384)
        for encoder, splits in (("strong", ("train", "test")), ("weak", ("train", "test", "labelled")))
        for split in splits
        for field in ("question", "choice")
    }
    for name, array in found.items():
        assert np.allclose(np.linalg.norm(array.astype(np.float32), axis=1), 1, atol=2e-3), name
    assert not np.allclose(found["strong_test_choice"], found["weak_test_choice"], atol=0.01)
