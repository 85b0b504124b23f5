"""Learn the teacher's probabilities, sharpened or softened."""

from __future__ import annotations

import numpy as np
from aar_api.wire import Hyper

from aar_lab.lab import Lab, Predictions

SUMMARY = "Distil the weak teacher's probabilities at a temperature, instead of its decisions."
CITATION = "Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv:1503.02531"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"temperature": 1.0, "smoothing": 0.0}
SPACE = {
    "temperature": Hyper(
        kind="float", low=0.2, high=5.0, log=True, default=1.0, doc="Below 1 sharpens towards hard labels."
    ),
    "smoothing": Hyper(
        kind="float", low=0.0, high=0.4, default=0.0, doc="Share of a coin flip mixed into every target."
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    p = np.clip(lab.weak, 1e-5, 1 - 1e-5)
    logit = np.log(p / (1 - p)) / lab.config["temperature"]
    soft = 1 / (1 + np.exp(-logit))
    smoothing = lab.config["smoothing"]
    return lab.predict(lab.finetune((1 - smoothing) * soft + smoothing / 2))
