"""A snapshot is code. Much data in it may be answers: what its author, and no weak teacher, thinks of rows that runs before have printed."""

from __future__ import annotations

import ast

from aar_hub.domain.audits import Evidence

LONGEST = 200
"""Characters without a space in a text, or digits of a number: a digest has 64, and a table of 1,200 answers 200."""
MOST = 100
"""Constants in one list, set or dictionary: published methods write down a dozen."""


def check(evidence: Evidence) -> str:
    """Finds long unbroken texts, long numbers, long tables, and files that are no code."""
    found = sorted({f"{path} {what}" for path, text in evidence.files.items() if (what := _carries(path, text))})
    return f"the snapshot carries data: {', '.join(found)}" if found else ""


def _carries(path: str, text: str) -> str:
    if not path.endswith(".py"):
        return "is as long as a table" if _long(text) or len(text) > LONGEST * MOST else ""
    nodes = list(ast.walk(ast.parse(text)))
    if any(_unbroken(node.value) for node in nodes if isinstance(node, ast.Constant)):
        return "has a text or number as long as a table"
    return "has a table" if any(_constants(node) > MOST for node in nodes) else ""


def _unbroken(value: object) -> bool:
    if isinstance(value, int):
        return (
            value.bit_length() > LONGEST * 10 // 3
        )  # a digit is 3.3 bits, and Python writes out no number of 4,300 of them
    return _long(str(value))


def _long(text: str) -> bool:
    return any(len(word) > LONGEST for word in text.split())


def _constants(node: ast.AST) -> int:
    if isinstance(node, ast.Dict):
        return sum(isinstance(part, ast.Constant) for part in node.values)
    return (
        sum(isinstance(part, ast.Constant) for part in node.elts)
        if isinstance(node, ast.List | ast.Tuple | ast.Set)
        else 0
    )
