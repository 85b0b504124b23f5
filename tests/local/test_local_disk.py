"""A disk that fills up while a campaign runs: one sentence, exit code 3, and on from there once there is space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local import campaigns

SIZE_MIB = 160
"""A run of this size takes about 20 MiB."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk takes root and the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Take the last byte."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65_536)
        except OSError:
            return


def test_a_full_disk_stops_a_run_which_goes_on_later(tmp_path: Path, disk: Path, cache: str) -> None:
    file, folder = campaigns.write(tmp_path, campaigns.campaign("full")), disk / "run"
    with campaigns.started(file, folder, AAR_CACHE_DIR=cache) as run:
        run.until(r"Preparing .* [1-9] running|Researching")
        fill(disk / "filler")
        assert run.wait(120) == 3, run.said
        errors = [line for line in run.lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert "free some space and run the same command again" in errors[0]
    assert "Traceback" not in run.said
    assert campaigns.alive_in(folder) == []
    code, said = campaigns.finished(file, folder, AAR_CACHE_DIR=cache)
    assert (code, said.count("error: ")) == (3, 1), said
    (disk / "filler").unlink()
    code, said = campaigns.finished(file, folder, AAR_CACHE_DIR=cache)
    assert code == 0, said
    campaigns.check_ledger(folder, "1.00")
