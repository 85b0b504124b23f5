"""What a snapshot must be: small text files with a `method.py` that defines `train`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from aar_api import digest, files
from aar_api.errors import InvalidInput

MAX_BYTES = 1 << 20
"""A method is code: 1 MiB of it is more than anyone reads, and too little to carry weights or labels in."""

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def check(content: Mapping[str, str]) -> None:
    """Refuse what cannot run.

    Raises:
        InvalidInput: a path, the size, the syntax or the entry point breaks a rule.
    """
    for path in content:
        parts = path.split("/")
        if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise InvalidInput(
                f"The path {path!r} is not inside the snapshot: use plain relative paths such as 'method.py'."
            )
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in content.values())
    if size > MAX_BYTES:
        raise InvalidInput(
            f"The snapshot has {size} bytes, but at most {MAX_BYTES} are allowed: leave data and weights out."
        )
    if files.METHOD_FILE not in content:
        raise InvalidInput(
            f"The snapshot has {', '.join(sorted(content))} but no {files.METHOD_FILE}: add it with `def train(lab)`."
        )
    for path in sorted(content):
        if path.endswith(".py"):
            _parse(path, content[path])
    tree = _parse(files.METHOD_FILE, content[files.METHOD_FILE])
    if not any(isinstance(node, ast.FunctionDef) and node.name == "train" for node in tree.body):
        raise InvalidInput(f"{files.METHOD_FILE} defines no function `train` at its top level: add `def train(lab)`.")


def essence(content: Mapping[str, str]) -> str:
    """Digest of what the code does: comments, layout and docstrings don't make another method. A dead line does: that is not decidable."""
    return digest.of_json({path: _bare(text) if path.endswith(".py") else text for path, text in content.items()})


def reads_config(content: Mapping[str, str]) -> bool:
    """Whether the code mentions its configuration at all; if not, no value of it makes another method."""
    return any("config" in text for path, text in content.items() if path.endswith(".py"))


def _bare(source: str) -> str:
    """The syntax tree without docstrings; the text where it is too deep to be read here."""
    try:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        return ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source


def _parse(path: str, source: str) -> ast.Module:
    try:
        return ast.parse(source, filename=path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}, line {line}" if line else path
        raise InvalidInput(
            f"{where} is not valid Python ({getattr(error, 'msg', None) or error}): correct it and upload again."
        ) from error
