"""Rows that are easy to learn are more often right."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import losses
from aar_lab.lab import Lab, Predictions

SUMMARY = "Each batch is learned from its rows of smallest loss; the share left out rises during training."
CITATION = "Han et al. 2018, Co-teaching, arXiv:1804.06872 (its selection rule, one network)"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"forget": 0.3, "ramp": 0.5}
SPACE = {
    "forget": Hyper(kind="float", low=0.05, high=0.6, default=0.3, doc="Share of a batch left out in the end."),
    "ramp": Hyper(kind="float", low=0.0, high=1.0, default=0.5, doc="Share of training over which it rises from 0."),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    loss = losses.small_loss(lab.config["forget"], lab.config["ramp"])
    return lab.predict(lab.finetune(lab.weak >= 0.5, loss=loss))
