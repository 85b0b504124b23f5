"""A control: the same training on labels that know nothing. Whoever beats it by chance alone has found a leak."""

from __future__ import annotations

import numpy as np
from aar_api.wire import Hyper

from aar_lab.lab import Lab, Predictions

SUMMARY = "Control: vanilla fine-tuning on the weak labels in random order, so that only their frequencies are left."
CITATION = "Zhang et al. 2017, Understanding Deep Learning Requires Rethinking Generalization, arXiv:1611.03530"
USES_WEAK_LABELS = False
DEFAULTS: dict[str, bool | int | float | str] = {}
SPACE: dict[str, Hyper] = {}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    # Sorted first: the permutation of a seed would otherwise carry over what order the teacher gave.
    return lab.predict(lab.finetune(lab.rng.permutation(np.sort(lab.weak)) >= 0.5))
