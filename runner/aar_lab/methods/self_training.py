"""The student teaches its successor."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import choose
from aar_lab.lab import Lab, Predictions

SUMMARY = "Train a student on weak labels, then fresh students on the surest predictions of the one before."
CITATION = (
    "Lee 2013, Pseudo-Label, ICML workshop on challenges in representation learning; Xie et al. 2020, arXiv:1911.04252"
)
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"rounds": 2, "share": 0.5, "equal_steps": True}
SPACE = {
    "rounds": Hyper(kind="int", low=1, high=4, default=2, doc="Students after the first."),
    "share": Hyper(kind="float", low=0.1, high=1.0, default=0.5, doc="Share of the rows each passes on."),
    "equal_steps": Hyper(
        kind="choice", choices=(True, False), default=True, doc="Repeat the rows passed on, so that steps stay equal."
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    n = len(lab.weak)
    student = lab.finetune(lab.weak >= 0.5)
    for _ in range(lab.config["rounds"]):
        belief = lab.predict(student, "train")
        rows = choose.surest(belief, lab.config["share"])
        if lab.config["equal_steps"]:
            rows = choose.as_many(rows, n)
        student = lab.finetune(belief >= 0.5, indices=rows)
    return lab.predict(student)
