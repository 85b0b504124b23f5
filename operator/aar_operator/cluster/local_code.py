"""What stands for an image where there is none: the digest of the code that a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from itertools import pairwise
from pathlib import Path

from aar_api import digest


def image_id(command: Sequence[str]) -> str:
    """`<package>@<digest of its files>` of a `-m package.module`, found and read without being imported; empty for any other command."""
    named = [word for flag, word in pairwise(command) if flag == "-m"]
    package = named[0].partition(".")[0] if named else ""
    spec = util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return ""
    found: dict[str, str] = {}
    for folder in map(Path, spec.submodule_search_locations):
        found |= {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    return f"{package}@{digest.of_files(found)}"
