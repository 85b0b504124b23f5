"""A pod's containers as processes: what they are told, and that none outlives its pod."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aar_api import digest
from aar_operator.cluster import Ref, leftovers, shim
from aar_operator.cluster.local_node import Node
from aar_operator.cluster.local_pods import KILLED, Pods
from aar_operator.cluster.local_store import Store

PATIENCE_SECONDS = 60.0
SLEEP = "import time; time.sleep(600)"


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def pod(*command: str, **env: str) -> dict[str, Any]:
    """A pod of one container with a folder at /tmp."""
    container = {
        "name": "main",
        "command": ["python", *command],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "n"}, "spec": spec}


async def lived(root: Path, manifest: dict[str, Any], meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
    """The pod's last status."""
    store = Store(root / "cluster.sqlite")
    host = {"PATH": "/usr/bin:/bin"}
    pods = Pods(store, root, Node(1, 0), host, lambda _, value: value)
    ref = Ref.of(store.apply(manifest))
    pods.sync(ref)
    if meanwhile is not None:
        await asyncio.to_thread(meanwhile)
    while (status := store.need(ref).get("status", {})).get("phase") not in ("Succeeded", "Failed"):
        await asyncio.sleep(0.02)
    await pods.stop_all()
    store.close()
    return dict(status)


def test_only_a_mount_path_becomes_a_folder_of_the_pod(tmp_path: Path) -> None:
    told = "import os; print(os.environ['MOUNT'], os.environ['HOST'])"
    status = asyncio.run(lived(tmp_path, pod("-c", told, MOUNT="/tmp", HOST="/tmp/cache")))
    assert status["phase"] == "Succeeded"
    mount, host = (tmp_path / "pods/n/one/main.log").read_text().split()
    assert mount.startswith(f"{tmp_path}/work/")
    assert host == "/tmp/cache"


@pytest.mark.parametrize("victim", ["shim", "command"])
def test_nothing_outlives_its_pod(tmp_path: Path, victim: str) -> None:
    """The command starts a process that leaves its group, then one of the two is killed."""
    detach = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); {SLEEP}"
    )

    def kill() -> None:
        eventually(lambda: len(asleep(tmp_path)) == 2)
        parent = next(pid for pid, words in processes(tmp_path) if "shim.py" in words)
        command = next(pid for pid in asleep(tmp_path) if parent_of(pid) == parent)
        os.kill(parent if victim == "shim" else command, signal.SIGKILL)

    status = asyncio.run(lived(tmp_path, pod("-c", detach), kill))
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == KILLED
    assert asleep(tmp_path) == []


def test_a_command_dies_with_its_shim(tmp_path: Path) -> None:
    """No operator is there to sweep up: the kernel does it."""
    started = subprocess.Popen(
        shimmed(tmp_path, os.getpid(), sys.executable, "-c", SLEEP), env={"TMPDIR": f"{tmp_path}/"}
    )
    eventually(lambda: len(asleep(tmp_path)) == 1)
    started.kill()
    started.wait()
    eventually(lambda: not asleep(tmp_path))


def test_a_command_is_not_begun_for_a_starter_that_is_gone(tmp_path: Path) -> None:
    """One that is killed before its shim is awake can be missed by nobody later."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    begun = tmp_path / "begun"
    code = subprocess.run(shimmed(tmp_path, gone.pid, "touch", str(begun)), check=False, timeout=60).returncode
    assert (code, begun.exists()) == (shim.ORPHANED, False)


def shimmed(folder: Path, starter: int, *command: str) -> list[str]:
    """A command under a shim, started by that process."""
    paths = [str(folder / "record"), str(folder / "log")]
    return [sys.executable, "-I", "-S", shim.__file__, str(starter), *paths, "--", *command]


def test_leftovers_of_another_folder_are_left_alone(tmp_path: Path) -> None:
    mine, other = (
        subprocess.Popen([sys.executable, "-c", SLEEP], env={"TMPDIR": f"{tmp_path}/{name}/tmp"})
        for name in ("a", "ab")
    )
    try:
        eventually(lambda: len(asleep(tmp_path)) == 2)
        assert leftovers.end(tmp_path / "a") == 1
        assert mine.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def processes(folder: Path) -> list[tuple[int, str]]:
    """Process ids and command lines of those whose temporary folder is in a folder."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if f"TMPDIR={folder}/".encode() in Path("/proc", entry, "environ").read_bytes():
                found.append((int(entry), Path("/proc", entry, "cmdline").read_text()))
        except OSError:
            continue
    return found


def asleep(folder: Path) -> list[int]:
    """Those that do nothing but sleep."""
    return [pid for pid, words in processes(folder) if words.endswith(f"{SLEEP}\0") and "shim.py" not in words]


def parent_of(pid: int) -> int:
    """Its parent's process id."""
    return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])


def test_the_code_of_a_module_stands_for_its_image(tmp_path: Path) -> None:
    """A receipt names what ran; on one machine that is no image, but the files of the package that the command names."""
    status = asyncio.run(lived(tmp_path, pod("-m", "json.tool", "--help")))
    folder = Path(json.__file__).parent
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    assert status["containerStatuses"][0]["imageID"] == f"json@{digest.of_files(files)}"


def test_a_command_that_is_no_module_has_no_code_of_a_package(tmp_path: Path) -> None:
    status = asyncio.run(lived(tmp_path, pod("-c", "pass")))
    assert status["containerStatuses"][0]["imageID"] == ""
