"""A method that answers the same everywhere has learnt nothing, whatever it scores."""

from __future__ import annotations

import numpy as np

from aar_hub.domain.audits import Evidence


def check(evidence: Evidence) -> str:
    """Finds seeds that put every item on one side."""
    sides = evidence.predictions > 0.5
    constant = np.flatnonzero(sides.all(axis=1) | ~sides.any(axis=1)).tolist()
    return f"seeds {constant} give every test item the same answer" if constant else ""
