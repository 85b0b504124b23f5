"""What holds for every test."""

from __future__ import annotations

import os
from collections import defaultdict
from itertools import zip_longest

import pytest

# One thread a worker, also in the programs that a test starts: threads of several workers that wait for one another on two cores
# make training take twice as long. Set before anything that computes is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

LONGEST = ("test_local_kills", "test_local_methods", "test_helm_prometheus", "test_local_disk", "test_local_claude")
"""Files of minutes, whose long tests are all marked slow."""
WAIT = (
    "test_kube_campaigns", "test_kube_life", "test_kube_storms", "test_kube_states", "test_kube_scenarios",
    "test_kube_conformance", "test_kube_phases", "test_kube_faults", "test_kube_over",
)  # fmt: skip
"""Files that mostly wait, for a control plane."""
COMPUTE = (
    "test_local_campaign", "test_claude_loop", "test_lab_heads", "test_gateway_purse", "test_lab_methods", "test_cli_checks",
    "test_hub_pages", "test_hub_preparing", "test_lab_steps", "test_cli_input",
)  # fmt: skip
"""Files that take long because they compute."""
IN_TURN = (one for pair in zip_longest(WAIT, COMPUTE) for one in pair if one is not None)
FIRST = {name: at for at, name in enumerate((*LONGEST, *IN_TURN))}
"""A file stays with one worker, so that the longest begin first; one that waits leaves a core to one that computes beside it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which workers take the files."""
    items.sort(key=lambda item: FIRST.get(item.path.stem, len(FIRST)))


NAMED = 6
"""Tests of one reason that the last line names; more are counted."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line of what was not tried and why, which a row of letters does not tell."""
    skipped = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):  # of an expected failure it is none
            skipped[report.longrepr[2].removeprefix("Skipped: ")].append(report.nodeid.rpartition("::")[2])
    if skipped:
        told = [f"{_names(tests)}: {reason}" for reason, tests in skipped.items()]
        terminalreporter.write_line(f"Not tried: {'; '.join(told)}")


def _names(tests: list[str]) -> str:
    return ", ".join(tests) if len(tests) <= NAMED else f"{len(tests)} tests"
