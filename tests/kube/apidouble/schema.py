"""What a CRD's schema does to an object: unknown fields go, defaults come, and what is left is judged, in the API server's words."""

from __future__ import annotations

import copy
import json
from typing import Any

from jsonschema import Draft4Validator  # of OpenAPI 3.0, whose exclusive bounds are booleans
from jsonschema.exceptions import ValidationError

OPEN = "x-kubernetes-preserve-unknown-fields"
META = ("apiVersion", "kind", "metadata")


def prune(value: Any, schema: dict, path: str = "") -> tuple[Any, list[str]]:
    """Without what the schema does not know, and what that was."""
    if schema.get(OPEN):
        return value, []
    gone: list[str] = []
    if isinstance(value, list) and "items" in schema:
        pairs = [prune(one, schema["items"], f"{path}[{number}]") for number, one in enumerate(value)]
        return [one for one, _ in pairs], [name for _, names in pairs for name in names]
    if not isinstance(value, dict):
        return value, gone
    kept = {}
    for key, one in value.items():
        where = f"{path}.{key}" if path else key
        below = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        if not path and key in META:
            kept[key] = one
        elif below is None or below is False:
            gone.append(where)
        else:
            kept[key], more = prune(one, below if isinstance(below, dict) else {OPEN: True}, where)
            gone += more
    return kept, gone


def fill(value: Any, schema: dict) -> Any:
    """With defaults where nothing was said."""
    if isinstance(value, list) and "items" in schema:
        return [fill(one, schema["items"]) for one in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    given = {key: one for key, one in value.items() if one is not None or "default" not in known.get(key, {})}
    missing = {
        key: copy.deepcopy(one["default"]) for key, one in known.items() if key not in given and "default" in one
    }
    below = schema.get("additionalProperties")
    other = below if isinstance(below, dict) else {}
    return {key: fill(one, known.get(key, other)) for key, one in {**given, **missing}.items()}


def faults(value: dict, schema: dict) -> list[str]:
    """Why the object is refused, one sentence a fault."""
    found = Draft4Validator(schema).iter_errors({key: one for key, one in value.items() if key not in META})
    return [_words(one) for one in sorted(found, key=lambda one: list(map(str, one.absolute_path)))]


def _words(error: ValidationError) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    rule, seen = error.validator_value, json.dumps(error.instance)
    if error.validator == "required":
        missing = next(name for name in rule if name not in error.instance)
        return f"{where}.{missing}: Required value".lstrip(".")
    if error.validator == "enum":
        return f"{where}: Unsupported value: {seen}: supported values: {', '.join(map(json.dumps, rule))}"
    told = {
        "type": f"must be of type {rule}: {json.dumps(_type(error.instance))}",
        "pattern": f"should match '{rule}'",
        "maximum": f"should be less than or equal to {rule}",
        "minimum": f"should be greater than or equal to {rule}",
        "minLength": f"should be at least {rule} chars long",
    }.get(str(error.validator))
    if told is None:
        return f"{where}: Invalid value: {error.validator} {rule}: {error.message}"
    seen = told.rpartition(": ")[2] if error.validator == "type" else seen
    return f"{where}: Invalid value: {seen}: {where} in body {told}"


def _type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]
