"""No labels at all: what the strong model thinks before any training."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import choose
from aar_lab.lab import Lab, Predictions

SUMMARY = "Label-free reference: similarity of question and choice, or the language model's own True and False."
CITATION = "Zhao et al. 2021, Calibrate Before Use, arXiv:2102.09690; Yin et al. 2019, arXiv:1909.00161 (by embeddings)"
USES_WEAK_LABELS = False
DEFAULTS: dict[str, bool | int | float | str] = {"share_true": 0.5}
SPACE = {
    "share_true": Hyper(
        kind="float", low=0.4, high=0.6, default=0.5, doc="Share of the test rows that is called True, by rank."
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    scores = lab.predict(lab.untrained()) if lab.info.head == "causal-lm" else lab.similarity("test")
    return choose.ranked(scores, lab.config["share_true"])
