"""Many students, one vote."""

from __future__ import annotations

import numpy as np
from aar_api.wire import Hyper

from aar_lab.lab import Float32, Lab, Predictions

SUMMARY = "Mean of students that each saw a different bootstrap of the weakly labelled rows."
CITATION = "Breiman 1996, Bagging Predictors, Machine Learning 24; Lakshminarayanan et al. 2017, arXiv:1612.01474"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"members": 5, "bag": 1.0, "soft": False}
SPACE = {
    "members": Hyper(kind="int", low=2, high=12, default=5, doc="Students."),
    "bag": Hyper(kind="float", low=0.2, high=1.0, default=1.0, doc="Rows drawn for each, as a share of all."),
    "soft": Hyper(
        kind="choice", choices=(True, False), default=False, doc="Learn the teacher's probabilities, not its decisions."
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    n = len(lab.weak)
    targets = lab.weak if lab.config["soft"] else lab.weak >= 0.5
    size = max(1, round(lab.config["bag"] * n))
    bags = [lab.rng.integers(0, n, size) for _ in range(lab.config["members"])]
    votes = np.stack([lab.predict(lab.finetune(targets, indices=bag)) for bag in bags])
    mean: Float32 = votes.mean(0)
    return mean
