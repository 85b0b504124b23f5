"""Who comes before whom among experiments that wait."""

from __future__ import annotations

from typing import Any

import pytest
from aar_api.experiment import Experiment, parse
from aar_operator.plan import line


def experiment(name: str, purpose: str, second: int, *, runs: bool = False) -> Experiment:
    """One that was made at a second."""
    status: dict[str, Any] = {"jobRef": {"name": f"{name}-1", "uid": "u"}} if runs else {}
    meta = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{second:02}Z"}
    spec = {"campaignRef": "c", "purpose": purpose, "method": {"builtin": "hard-labels"}}
    return parse({"kind": "Experiment", "metadata": meta, "spec": spec, "status": status})


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [
        (experiment("a", "Exploration", 1), experiment("b", "Exploration", 2), True),
        (experiment("a", "Exploration", 2), experiment("b", "Exploration", 1), False),
        (experiment("a", "Exploration", 1), experiment("b", "Exploration", 1), True),
        (experiment("own", "Exploration", 1), experiment("teacher", "Baseline", 9), False),
        (experiment("teacher", "Baseline", 9), experiment("own", "Exploration", 1), True),
        (experiment("own", "Exploration", 9, runs=True), experiment("teacher", "Baseline", 1), True),
        (experiment("again", "Replication", 1), experiment("b", "Exploration", 2), False),
    ],
    ids=["older", "younger", "by name", "own before baselines", "baselines after own", "one that runs", "verification"],
)
def test_order(one: Experiment, other: Experiment, first: bool) -> None:
    assert line.ahead(one, other) is first
