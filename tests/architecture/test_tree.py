"""The house keeps its rules: import contracts, generated files, folders that must not become packages."""

import subprocess
import sys
from pathlib import Path

import pytest
from aar_api import schema

ROOT = Path(__file__).parents[2]


def test_import_contracts_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_crds_are_current():
    assert schema.stale(ROOT / "crds") == []


@pytest.mark.parametrize("folder", ["operator", "crds", "runner"])
def test_top_folders_are_no_packages(folder):
    """`operator/__init__.py` would shadow the standard library's operator."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_no_tests_folder_shadows_the_standard_library():
    assert not (ROOT / "tests" / "operator").exists()
