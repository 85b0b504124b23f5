"""The ceiling: the strong model trained on the true labels of the training rows."""

from __future__ import annotations

import numpy as np
from aar_api.files import Assignment

from aar_lab.baselines._supervised import train_on
from aar_lab.bundle import Bundle
from aar_lab.outputs import Array


def produce(bundle: Bundle, assignment: Assignment) -> dict[str, Array]:
    """`test`: P(True)."""
    truth = bundle.train_labels
    return train_on(bundle, "strong", "train", truth, np.arange(len(truth), dtype=np.int64), assignment, ("test",))
