"""Which body belongs to which docstring: Python functions of packages that only the hub installs."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

from aar_hub.tasks import _matching, _pairs, _sources
from aar_hub.tasks._task import Items, Params, Spec

LIBRARIES = {"django": "django", "astropy": "astropy", "sklearn": "scikit-learn"}
"""Module to package. None may be installed in a lab or an agent image, where it would be the answer key."""

SPEC = Spec(
    summary="Is this the body of the Python function with this docstring?",
    licence="BSD-3-Clause",
    package="django>=5.2,<5.3, astropy==8.0.2 and scikit-learn>=1.7",
    pairing="pair",
    defaults={
        "n_labelled": 300,
        "n_train": 1000,
        "n_test": 600,
        "negatives": "hard",
        "weak_layers": 1,
        "strong_layers": 5,
        "max_tokens": 96,
    },
)
DOC_LENGTHS = range(20, 251)
BODY_LENGTHS = range(60, 601)
"""Characters: a shorter body fits many docstrings, a longer one is cut by max_tokens anyway."""


def build(params: Params) -> Items:
    """Draw the splits; a group is a source file."""
    sources = _pairs.unique(source for module in LIBRARIES for source in _functions(module))
    return _pairs.split("code", sources, params, _pairs.matcher(params))


def _functions(module: str) -> Iterator[_matching.Source]:
    root = _sources.folder(module, LIBRARIES[module])
    for path in sorted(root.rglob("*.py")):
        if "tests" not in path.parts:
            yield from _of_file(path, f"{module}/{path.relative_to(root).as_posix()}")


def _of_file(path: Path, group: str) -> Iterator[_matching.Source]:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(text)
    except SyntaxError:  # templates of source files, such as django's conf/app_template
        return
    lines = text.splitlines()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
            continue
        doc = _sources.one_line((ast.get_docstring(node) or "").split("\n\n")[0])
        body = textwrap.dedent("\n".join(lines[node.body[1].lineno - 1 : node.end_lineno])).strip()
        if len(doc) in DOC_LENGTHS and len(body) in BODY_LENGTHS:
            yield _matching.Source(group, doc, body)
