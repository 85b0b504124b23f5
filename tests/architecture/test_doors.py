"""Targets of the Makefile do not pass for want of what they are about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LACKS = {
    "no cluster is named": ({"KUBECONFIG": ""}, "but KUBECONFIG is not set"),
    "no kubectl": ({"KUBECONFIG": "/nowhere", "PATH": "/nowhere"}, "but kubectl is not on PATH"),
}


@pytest.mark.parametrize("case", LACKS)
def test_e2e_fails_where_it_cannot_run(case: str) -> None:
    """The last line of the recipe, as a shell gets it; the first test is enough."""
    lack, words = LACKS[case]
    printed = ["make", "-n", "--no-print-directory", "e2e"]  # a make around these tests has it name the directory, too
    recipe = subprocess.run(printed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    environment = os.environ | {"PYTEST_ADDOPTS": "-x -p no:cacheprovider"} | lack
    done = subprocess.run(
        recipe.splitlines()[-1], shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"TESTS_REQUIRE asks for e2e, {words}" in done.stdout


def test_the_last_line_says_what_was_not_tried() -> None:
    command = [sys.executable, "-m", "pytest", "-m", "slow", "-p", "no:cacheprovider", "tests/e2e/test_e2e_faults.py"]
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith(("AAR_", "TESTS_", "PYTEST_"))
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("Not tried: ")]
    assert "9 tests: AAR_E2E_TAG is not set" in line
