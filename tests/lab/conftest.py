from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aar_lab.baselines import features
from aar_lab.bundle import Bundle
from aar_lab.train import seed_everything
from lab import world


@pytest.fixture(scope="session")
def truth() -> dict[str, np.ndarray]:
    return {}


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory, truth: dict[str, np.ndarray]) -> Path:
    """A labelled probe bundle with features computed by MiniLM; weak labels are the truth with a third of it flipped."""
    folder = tmp_path_factory.mktemp("bundle")
    seed_everything(0, 1)
    truth["train"], truth["test"] = world.write_bundle(folder, world.bundle_info(), labelled=True)
    world.add_features(folder, features.produce(Bundle(folder), world.assignment(role="features")))
    rng = np.random.default_rng(1)
    flipped = truth["train"] ^ (rng.random(world.N_TRAIN) < 0.3)
    confidence = 0.5 + 0.45 * rng.random(world.N_TRAIN)
    np.save(folder / "weak.npy", np.where(flipped, confidence, 1 - confidence).astype(np.float32))
    return folder


@pytest.fixture
def pod(tmp_path: Path) -> world.Pod:
    return world.Pod(tmp_path)


@pytest.fixture
def hubs() -> Iterator[list[world.LabHub]]:
    """Servers a test starts; closed after it."""
    started: list[world.LabHub] = []
    yield started
    for hub in started:
        hub.close()
