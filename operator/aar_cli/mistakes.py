"""Pydantic's findings as sentences: where, value, rule, way out."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import yaml
from aar_api.base import Model
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]


def sentences(error: ValidationError, kind: type[BaseModel], root: yaml.Node) -> list[str]:
    """One sentence a mistake, with the line of the file it is on."""
    return [_sentence(detail, kind, root) for detail in error.errors(include_url=False)]


def _sentence(detail: ErrorDetails, kind: type[BaseModel], root: yaml.Node) -> str:
    at, path = detail["loc"], ".".join(map(str, detail["loc"]))
    where = f"line {line_of(root, at)}: "
    if detail["type"] == "extra_forbidden":
        return where + _unknown(path, str(at[-1]), _fields(kind, at[:-1]))
    if detail["type"] == "missing":
        return f"{where}{path} is missing, but it is required: add it."
    if detail["type"] == "value_error":
        return where + str(detail["ctx"]["error"])
    rule = detail["msg"].removeprefix("Input should be ").removeprefix("a ")
    return f"{where}{path} is {detail['input']!r}, but it must be {rule}: change it."


def _unknown(path: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}." if known else "remove it."
    return f"{path} is not a known field: {hint}"


def _fields(kind: type[BaseModel], at: Location) -> list[str]:
    """Names that the object at a place may have."""
    current: Any = kind
    for step in at:
        if isinstance(step, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        found = next((f for n, f in current.model_fields.items() if step in (n, f.alias)), None)
        current = _model_in(found.annotation) if found is not None else None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return sorted(field.alias or name for name, field in current.model_fields.items())
    return []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    inside = getattr(annotation, "__args__", ())
    return next((found for one in inside if (found := _model_in(one)) is not None), None)


def line_of(root: yaml.Node, at: Location) -> int:
    """The line, counted from 1, of the deepest node on a path."""
    node, line = root, root.start_mark.line
    for step in at:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
    return int(line) + 1
