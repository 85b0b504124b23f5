"""Treat the true label as unknown and the weak one as a noisy reading of it: expectation-maximisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from aar_api.wire import Hyper

from aar_lab.lab import Float32, Lab, Predictions

SUMMARY = "EM: the student is the prior, the teacher's error rates the likelihood, and students learn the posterior."
CITATION = "Raykar et al. 2010, Learning from Crowds, JMLR 11; Dawid and Skene 1979, Applied Statistics 28"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"rounds": 2, "trust": 0.5, "harden": False}
SPACE = {
    "rounds": Hyper(kind="int", low=1, high=4, default=2, doc="Rounds of EM, a student each."),
    "trust": Hyper(
        kind="float", low=0.0, high=1.0, default=0.5, doc="Power of the teacher's likelihood; 0 is pure self-training."
    ),
    "harden": Hyper(
        kind="choice", choices=(True, False), default=False, doc="Learn the posterior's decision, not its probability."
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    weak = lab.weak >= 0.5
    student = lab.finetune(weak)
    for _ in range(lab.config["rounds"]):
        prior = np.clip(lab.predict(student, "train"), 1e-4, 1 - 1e-4)
        belief = posterior(prior, weak, lab.config["trust"])
        student = lab.finetune(belief >= 0.5 if lab.config["harden"] else belief)
    return lab.predict(student)


def posterior(prior: Float32, weak: npt.NDArray[np.bool_], trust: float) -> Float32:
    """P(True | row, weak label), the chances of a weak True given either truth estimated from the prior itself."""
    said_if_true = np.clip((prior * weak).sum() / prior.sum(), 0.01, 0.99)
    said_if_false = np.clip(((1 - prior) * weak).sum() / (1 - prior).sum(), 0.01, 0.99)
    true = prior * np.where(weak, said_if_true, 1 - said_if_true) ** trust
    false = (1 - prior) * np.where(weak, said_if_false, 1 - said_if_false) ** trust
    belief: Float32 = (true / (true + false)).astype(np.float32)
    return belief
