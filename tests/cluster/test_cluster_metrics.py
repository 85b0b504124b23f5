"""The operator's metrics and the table that documents them."""

from __future__ import annotations

import re
from pathlib import Path

from aar_operator.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
Family = tuple[str, frozenset[str]]
"""(type, labels)."""
OF_HISTOGRAMS = {"le"}


def documented() -> dict[str, Family]:
    part = PAGE.read_text().split("## Of the operator on a cluster")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(aar_\w+)` \| (\w+) \|([^|]*)\|", part, re.M)
    return {name: (kind, frozenset(filter(None, labels.strip().split(", ")))) for name, kind, labels in rows}


def served() -> dict[str, Family]:
    """Of an operator that has counted each thing once."""
    metrics = Metrics()
    metrics.phases(lambda: iter([("a", "c", "Pending")]), lambda: iter([("a", "c", "Running")]))
    metrics.counted("GET", 200, 0.1)
    metrics.reconciles.labels("Experiment", "ok").inc()
    metrics.duration.labels("Experiment").observe(0.1)
    metrics.events.labels("Job").inc()
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        assert family.documentation
        assert family.samples, "what is not counted here has no labels to compare"
        labels = {label for sample in family.samples for label in sample.labels} - OF_HISTOGRAMS
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, frozenset(labels))
    return {name: one for name, one in found.items() if not name.endswith("_created")}


def test_every_family_is_documented_with_its_labels() -> None:
    assert served() == documented()
