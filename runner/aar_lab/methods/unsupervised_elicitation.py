"""Label-free too: make the model's own zero-shot beliefs consistent with one another."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import choose
from aar_lab.lab import Lab, Predictions

SUMMARY = "Label-free: fine-tune on the surest zero-shot beliefs, then on the student's own, balanced, round by round."
CITATION = "Wen et al. 2025, Unsupervised Elicitation of Language Models, arXiv:2506.10139"
USES_WEAK_LABELS = False
DEFAULTS: dict[str, bool | int | float | str] = {"share": 0.5, "rounds": 1}
SPACE = {
    "share": Hyper(kind="float", low=0.1, high=1.0, default=0.5, doc="Share of the beliefs that are learned."),
    "rounds": Hyper(kind="int", low=0, high=3, default=1, doc="Students after the first."),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    scores = lab.predict(lab.untrained(), "train") if lab.info.head == "causal-lm" else lab.similarity("train")
    belief = choose.ranked(scores)
    for last in [False] * lab.config["rounds"] + [True]:
        rows = choose.surest(belief, lab.config["share"])
        student = lab.finetune(belief >= 0.5, indices=choose.as_many(rows, len(belief)))
        if not last:
            belief = choose.ranked(lab.predict(student, "train"))
    return choose.ranked(lab.predict(student))
