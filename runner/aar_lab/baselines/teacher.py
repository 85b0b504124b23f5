"""The weak teacher: the weak model trained on the labelled rows, and what it thinks of the training and test rows.

A seed draws the initial head, the data order and a bootstrap of the labelled rows, so that two seeds are two teachers who saw
different samples and not one teacher twice: the spread of W over seeds is the spread of a real labelling effort.
"""

from __future__ import annotations

import numpy as np
from aar_api.files import Assignment

from aar_lab.baselines._supervised import train_on
from aar_lab.bundle import Bundle
from aar_lab.outputs import Array


def produce(bundle: Bundle, assignment: Assignment) -> dict[str, Array]:
    """`test` and `train`: P(True)."""
    truth = np.asarray([bool(row.label) for row in bundle.labelled])
    drawn = np.random.default_rng(assignment.seed).integers(0, len(truth), len(truth), dtype=np.int64)
    return train_on(bundle, "weak", "labelled", truth, drawn, assignment, ("test", "train"))
