"""Weigh each weak label by what a student who has not seen it thinks of it."""

from __future__ import annotations

import numpy as np
from aar_api.wire import Hyper

from aar_lab import choose
from aar_lab.lab import Lab, Predictions

SUMMARY = "Cross-fitted students judge every weak label; labels they doubt weigh less in the last student's loss."
CITATION = (
    "Northcutt et al. 2021, Confident Learning, arXiv:1911.00068; Liu and Tao 2016, arXiv:1411.7718 (reweighting)"
)
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"folds": 3, "sharpness": 2.0, "floor": 0.0}
SPACE = {
    "folds": Hyper(kind="int", low=2, high=5, default=3, doc="Parts; each is judged by a student of the others."),
    "sharpness": Hyper(
        kind="float", low=0.25, high=8.0, log=True, default=2.0, doc="Power of the belief in the label: 0 is vanilla."
    ),
    "floor": Hyper(kind="float", low=0.0, high=0.5, default=0.0, doc="Least weight of a label."),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    labels = lab.weak >= 0.5
    n = len(labels)
    belief = np.empty(n, np.float32)
    for part in choose.folds(n, lab.config["folds"], lab.rng):
        others = np.setdiff1d(np.arange(n), part)
        belief[part] = lab.predict(lab.finetune(labels, indices=others), "train")[part]
    trust = np.where(labels, belief, 1 - belief) ** lab.config["sharpness"]
    return lab.predict(lab.finetune(labels, weight=np.maximum(trust, lab.config["floor"]) + 1e-6))
