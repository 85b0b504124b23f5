"""No labels and no model: words that question and choice share."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import choose
from aar_lab.lab import Lab, Predictions

SUMMARY = "Label-free and model-free reference: overlap of words, rare ones counting more."
CITATION = "Sparck Jones 1972, A Statistical Interpretation of Term Specificity, Journal of Documentation 28"
USES_WEAK_LABELS = False
DEFAULTS: dict[str, bool | int | float | str] = {}
SPACE: dict[str, Hyper] = {}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    # Rows without a word in common are ties; the lab's generator breaks them, or row order would.
    return choose.ranked(lab.overlap("test") + 1e-6 * lab.rng.random(lab.info.n_test))
