"""The keyed split of a test set: which half an item is in depends on its problem and a secret, so nobody outside can tell."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Split = Literal["Feedback", "Private"]
SPLITS: tuple[Split, Split] = ("Feedback", "Private")


def feedback(key: bytes, groups: Sequence[str]) -> npt.NDArray[np.bool_]:
    """True for the items of the feedback half; problems stay whole, and the two halves differ by at most one problem."""
    ranked = sorted(set(groups), key=lambda group: hmac.new(key, group.encode(), hashlib.sha256).digest())
    chosen = set(ranked[: (len(ranked) + 1) // 2])
    return np.array([group in chosen for group in groups], dtype=np.bool_)


def masks(key: bytes, groups: Sequence[str]) -> dict[Split, npt.NDArray[np.bool_]]:
    """Both halves, each True for its items."""
    chosen = feedback(key, groups)
    return {"Feedback": chosen, "Private": ~chosen}
