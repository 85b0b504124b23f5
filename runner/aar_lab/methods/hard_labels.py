"""Plain fine-tuning on the weak teacher's decisions: what every other method is measured against."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab.lab import Lab, Predictions

SUMMARY = "Fine-tune the strong model on the weak teacher's hard labels (vanilla)."
CITATION = "Burns et al. 2023, Weak-to-Strong Generalization, arXiv:2312.09390, section 4.1"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"threshold": 0.5}
SPACE = {
    "threshold": Hyper(kind="float", low=0.35, high=0.65, default=0.5, doc="P(True) from which a row counts as True."),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    return lab.predict(lab.finetune(lab.weak >= lab.config["threshold"]))
