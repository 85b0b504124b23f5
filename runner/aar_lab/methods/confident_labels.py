"""Learn only from the rows of which the weak teacher is sure."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import choose
from aar_lab.lab import Lab, Predictions

SUMMARY = "Fine-tune on the weak teacher's surest labels only, the same share of each class."
CITATION = "Guo and Yang 2024, Reliability-Aware Alignment for Weak-to-Strong Generalization, arXiv:2406.19032"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"share": 0.5, "equal_steps": True}
SPACE = {
    "share": Hyper(kind="float", low=0.05, high=1.0, log=True, default=0.5, doc="Share of the rows that is kept."),
    "equal_steps": Hyper(
        kind="choice",
        choices=(True, False),
        default=True,
        doc="Repeat the kept rows until there are as many steps as with all of them.",
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    rows = choose.surest(lab.weak, lab.config["share"])
    if lab.config["equal_steps"]:
        rows = choose.as_many(rows, len(lab.weak))
    return lab.predict(lab.finetune(lab.weak >= 0.5, indices=rows))
