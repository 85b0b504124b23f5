"""A local run that cannot start says why in one sentence, with the right exit code, as the real program."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aar_operator.cluster import Ref
from aar_operator.cluster.local_ports import free_port, is_free
from aar_operator.cluster.local_store import Store
from aar_operator.local import load, lock, space
from aar_operator.local.errors import DiskFull

GOOD = """
apiVersion: aar.dev/v1alpha1
kind: ResearchCampaign
metadata: {name: quick}
spec:
  task: {name: chat}
  budget: {limitUSD: "1.00"}
"""
EXPERIMENT = """
apiVersion: aar.dev/v1alpha1
kind: Experiment
metadata: {name: mine}
spec: {campaignRef: quick, purpose: Baseline, method: {builtin: hard-labels}}
"""


def run(folder: Path, text: str, *more: str) -> tuple[int, str]:
    """Exit code and error of one start."""
    (folder / "campaign.yaml").write_text(text)
    command = [sys.executable, "-m", "aar_operator.main", "local", "--dir", str(folder / "run")]
    command += ["--campaign", str(folder / "campaign.yaml"), *more]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, next((one["message"] for one in said if one["event"] == "error"), done.stderr)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has 0 ResearchCampaigns"),
        (GOOD + "---" + GOOD, "has 2 ResearchCampaigns"),
        (GOOD.replace("task:", "tsk:"), "spec.tsk"),
        (GOOD.replace("1.00", "0"), "must be greater than 0"),
        (GOOD.replace("1.00", "-1"), "limitUSD"),
        (GOOD.replace("quick", "Quick_1"), "RFC 1035"),
        (GOOD.replace("ResearchCampaign", "Deployment"), "has a Deployment"),
        (GOOD + "---" + EXPERIMENT, "only the operator may"),
        ("{", "cannot be read as YAML"),
        ("- 1", "without a kind"),
    ],
    ids=["empty", "two", "unknown field", "budget 0", "negative", "name", "kind", "purpose", "no YAML", "list"],
)
def test_bad_file(tmp_path: Path, text: str, told: str) -> None:
    code, message = run(tmp_path, text)
    assert code == 2
    assert told in message
    assert not (tmp_path / "run").exists()


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, message = run(tmp_path, GOOD, "--port", str(port))
    assert code == 3
    assert f"Port {port} is in use" in message


def test_two_runs_in_one_directory(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    held = lock.hold(tmp_path / "run", print)
    code, message = run(tmp_path, GOOD)
    assert held > 0
    assert code == 3
    assert "in use by another run" in message
    assert "--dir" in message


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    code, message = run(tmp_path, GOOD)
    assert code == 3
    assert "cannot be used" in message


def stored(folder: Path, text: str, phase: str = "Researching") -> None:
    """A directory in which a campaign has begun."""
    folder.mkdir()
    path = folder / "before.yaml"
    path.write_text(text)
    store = Store(folder / "cluster.sqlite")
    campaign = store.apply(load.read(path)[0])
    store.patch_status(Ref.of(campaign), {"phase": phase})
    store.close()


SPEC = "budget: {limitUSD"


@pytest.mark.parametrize(
    ("changed", "phase", "told"),
    [
        (("quick", "other"), "Researching", "holds campaign 'quick', but the file is of 'other'"),
        (("chat", "math"), "Researching", "spec.task is {'name': 'math', 'params': {}}, but campaign 'quick'"),
        (
            (SPEC, "experiments: {seeds: 3}\n  " + SPEC),
            "Researching",
            "ask for 8 sets of weak labels, but campaign 'quick'",
        ),
        (("1.00", "2.00"), "Complete", "spec.budget differs from what campaign 'quick'"),
        (("1.00", "2.00"), "Failed", "but that campaign is over"),
    ],
    ids=["another campaign", "another task", "more seeds", "changed when complete", "changed when failed"],
)
def test_a_changed_file_in_an_old_directory(tmp_path: Path, changed: tuple[str, str], phase: str, told: str) -> None:
    stored(tmp_path / "run", GOOD, phase)
    code, message = run(tmp_path, GOOD.replace(*changed))
    assert code == 2
    assert told in message
    assert "--dir" in message


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space.check(tmp_path)
    monkeypatch.setattr(space, "LEAST_BYTES", 1 << 60)
    with pytest.raises(
        DiskFull, match=r"has [\d.]+ MiB left, but a run needs at least .* free some space and run the same"
    ):
        space.check(tmp_path)


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = [free_port() for _ in range(50)]
    assert max(found) < lowest
    assert all(map(is_free, found))
