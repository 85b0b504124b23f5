"""Ask a row's neighbours, as the strong model sees them, what its label should be."""

from __future__ import annotations

import numpy as np
from aar_api.wire import Hyper

from aar_lab.lab import Float32, Lab, Predictions

SUMMARY = "Smooth the weak labels over nearest neighbours in the strong model's embedding space, then fine-tune."
CITATION = "Zhu and Ghahramani 2002, Label Propagation, CMU-CALD-02-107; Bahri et al. 2020, Deep k-NN, arXiv:2004.12289"
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"neighbours": 20, "keep": 0.5, "rounds": 1}
SPACE = {
    "neighbours": Hyper(kind="int", low=3, high=100, log=True, default=20, doc="Neighbours asked."),
    "keep": Hyper(kind="float", low=0.0, high=0.95, default=0.5, doc="Share of a row's own weak label that stays."),
    "rounds": Hyper(kind="int", low=1, high=5, default=1, doc="Rounds of smoothing."),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    near = nearest(lab.inputs("train"), lab.config["neighbours"])
    own = (lab.weak >= 0.5).astype(np.float32)
    smooth = own
    for _ in range(lab.config["rounds"]):
        smooth = lab.config["keep"] * own + (1 - lab.config["keep"]) * smooth[near].mean(1)
    return lab.predict(lab.finetune(smooth))


def nearest(inputs: Float32, k: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The k rows of highest cosine for each row, itself left out; in blocks, so that memory stays linear in the rows."""
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True).clip(1e-9)
    k = min(k, len(unit) - 1)
    found = np.empty((len(unit), k), np.int64)
    for start in range(0, len(unit), 1024):
        rows = np.arange(start, min(start + 1024, len(unit)))
        cosine = unit[rows] @ unit.T
        cosine[np.arange(len(rows)), rows] = -np.inf
        found[rows] = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    return found
