"""How a patch changes an object: JSON merge patch (RFC 7396), and server-side apply by the fields that a manager named before."""

from __future__ import annotations

from typing import Any

from kube.apidouble.refusal import Refused

UNOWNED = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


def merged(old: Any, patch: Any) -> Any:
    """By RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def applied(old: dict, wanted: dict, manager: str, force: bool) -> dict:
    """By server-side apply: what the manager named and names no longer goes, unless another names it too.

    Raises:
        Refused: 409, another manager applied other values and `force` is not set.
    """
    books = {one["manager"]: one["fieldsV1"] for one in old["metadata"].get("managedFields", [])}
    mine = fields(wanted)
    others = [book for name, book in books.items() if name != manager]
    clashes = [path for book in others for path in _clashes(book, mine, old, wanted)]
    if clashes and not force:
        told = "\n".join(f"- {path}" for path in clashes)
        raise Refused(409, "Conflict", f"Apply failed with {len(clashes)} conflicts:\n{told}")
    kept = _without(old, books.get(manager, {}), mine, others)
    result = _over(kept, wanted)
    result["metadata"] = {**result["metadata"], "managedFields": _books(old, manager, mine)}
    return result


def fields(value: dict, top: bool = True) -> dict:
    """The fields that are named, as fieldsV1; a list is one field."""
    found = {}
    for key, one in value.items():
        if top and key in ("apiVersion", "kind", "status"):
            continue
        if top and key == "metadata":
            one = {name: entry for name, entry in one.items() if name not in UNOWNED}
            if not one:
                continue
        found[f"f:{key}"] = fields(one, False) if isinstance(one, dict) else {}
    return found


def _books(old: dict, manager: str, mine: dict) -> list[dict]:
    others = [one for one in old["metadata"].get("managedFields", []) if one["manager"] != manager]
    entry = {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": mine}
    return [*others, {**entry, "apiVersion": old["apiVersion"]}]


def _without(value: Any, before: dict, now: dict, others: list[dict]) -> Any:
    """What is left when fields named before are named no longer."""
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for mark, below in before.items():
        key = mark.removeprefix("f:")
        named = [book[mark] for book in others if mark in book]
        if key not in result:
            continue
        if mark in now or (below and isinstance(result[key], dict)):
            result[key] = _without(result[key], below, now.get(mark, {}), named)
            if mark not in now and result[key] == {} and not named:
                del result[key]
        elif not named:
            del result[key]
    return result


def _over(old: Any, wanted: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(wanted, dict):
        return wanted
    return {**old, **{key: _over(old.get(key), value) for key, value in wanted.items()}}


def _clashes(theirs: dict, mine: dict, old: Any, wanted: Any, path: str = "") -> list[str]:
    found = []
    for mark in theirs.keys() & mine.keys():
        key = mark.removeprefix("f:")
        if not isinstance(old, dict) or key not in old:
            continue
        if theirs[mark] and mine[mark]:
            found += _clashes(theirs[mark], mine[mark], old[key], wanted[key], f"{path}.{key}")
        elif old[key] != wanted[key]:
            found.append(f"{path}.{key}")
    return found
