"""Label selectors."""

from __future__ import annotations

import re

SET = re.compile(r"\s*(?P<key>[^\s!=,()]+)\s+(?P<how>in|notin)\s+\((?P<values>[^)]*)\)\s*")


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels satisfy `a=b,c!=d,e,!f,g in (h,i)`."""
    rest = selector
    for found in SET.finditer(selector):
        values = {one.strip() for one in found["values"].split(",")}
        if (labels.get(found["key"]) in values) is (found["how"] == "notin"):
            return False
        rest = rest.replace(found[0], "")
    return all(_holds(one.strip(), labels) for one in rest.split(",") if one.strip())


def _holds(term: str, labels: dict[str, str]) -> bool:
    if "!=" in term:
        key, _, value = term.partition("!=")
        return labels.get(key.strip()) != value.strip()
    if "=" in term:
        key, _, value = term.replace("==", "=").partition("=")
        return labels.get(key.strip()) == value.strip()
    return term.removeprefix("!") not in labels if term.startswith("!") else term in labels
