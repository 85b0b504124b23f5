"""Checks of a scored experiment, a file each, found by name: `def check(evidence: Evidence) -> str`, "" or one sentence.

Law: a check reads and judges; what follows from a finding is decided elsewhere, and by a person.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from aar_api import plugins


@dataclass(frozen=True)
class Evidence:
    """What a check may read."""

    files: Mapping[str, str]
    """The snapshot; empty for a built-in."""
    predictions: npt.NDArray[Any]
    """P(True) of the method, (seeds, test items)."""
    ceiling: npt.NDArray[Any]
    """P(True) of the strong ceiling, (seeds, test items)."""
    pgr: float
    """As its submitter is told it; exact on the private half."""


def run(evidence: Evidence) -> list[str]:
    """Findings of every check, by name of the check."""
    package = sys.modules[__name__]
    found = ((name, _checked(plugins.load(package, name, "audit").check, evidence)) for name in plugins.names(package))
    return [f"{name}: {text}" for name, text in found if text]


def _checked(check: Callable[[Evidence], str], evidence: Evidence) -> str:
    """A check's finding; that it broke is one too."""
    try:
        return check(evidence)
    except Exception as error:  # noqa: BLE001  a stranger's code broke it, and settlement would be tried for ever
        return f"it could not be judged ({type(error).__name__}), which a person should look into"
