"""What the tests of local runs share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Baselines that one campaign made for the next; the whole campaign and the kills go without."""
    folder: Path = tmp_path_factory.getbasetemp() / "cache"
    return str(folder)
