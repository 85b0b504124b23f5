"""Let the student trust itself more and more: the auxiliary confidence loss."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import losses
from aar_lab.lab import Lab, Predictions

SUMMARY = "Auxiliary confidence loss: a rising share of the loss is on the student's own hardened predictions."
CITATION = "Burns et al. 2023, Weak-to-Strong Generalization, arXiv:2312.09390, section 4.3 and appendix A.4"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"alpha": 0.5, "warmup": 0.2, "hard_targets": False}
SPACE = {
    "alpha": Hyper(kind="float", low=0.1, high=0.95, default=0.5, doc="Final share of the student's own predictions."),
    "warmup": Hyper(
        kind="float", low=0.0, high=1.0, default=0.2, doc="Share of training over which alpha rises from 0."
    ),
    "hard_targets": Hyper(
        kind="choice", choices=(True, False), default=False, doc="Learn the teacher's decisions, not its probabilities."
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    targets = lab.weak >= 0.5 if lab.config["hard_targets"] else lab.weak
    loss = losses.auxiliary_confidence(lab.config["alpha"], lab.config["warmup"])
    return lab.predict(lab.finetune(targets, loss=loss))
