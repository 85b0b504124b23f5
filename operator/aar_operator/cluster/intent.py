"""What was sent and what the server made of it: enough to know that sending it again would change nothing. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from aar_api import labels

from aar_operator.cluster import Manifest


def as_stored(manifest: Manifest) -> Manifest:
    """A manifest as it is sent: with a digest of itself, and with the text of a Secret as the data that the server makes of it."""
    meta = manifest["metadata"]
    annotations = {**meta.get("annotations", {}), labels.APPLIED: digest(manifest)}
    manifest = {**manifest, "metadata": {**meta, "annotations": annotations}}
    if "stringData" not in manifest:
        return manifest
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in manifest["stringData"].items()}
    rest = {key: value for key, value in manifest.items() if key != "stringData"}
    return {**rest, "data": {**manifest.get("data", {}), **encoded}}


def digest(manifest: Manifest) -> str:
    """Of a manifest or of a part of one."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


def mark_of(manifest: Manifest) -> str:
    """The digest that a manifest as it is sent carries."""
    return str(manifest["metadata"]["annotations"][labels.APPLIED])


def part_of(sent: Any, got: Any) -> Any:
    """What an object holds at the places that were sent: the server may write a value in another way (`0.5` as `500m`)
    and may add fields, so this and not the manifest is what a later look is compared with.
    """
    if isinstance(sent, dict) and isinstance(got, dict):
        return {key: part_of(value, got[key]) for key, value in sent.items() if key in got}
    if isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        return [part_of(one, other) for one, other in zip(sent, got, strict=True)]
    return got


def stands(sent: Any, got: Any) -> bool:
    """Whether an object has to the letter what would be sent; an empty value may be left out."""
    if isinstance(sent, dict) and isinstance(got, dict):
        return all(stands(value, got[key]) if key in got else not value for key, value in sent.items())
    if isinstance(sent, list) and isinstance(got, list):
        return len(sent) == len(got) and all(map(stands, sent, got))
    return bool(sent == got)


def replacement(old: Any, new: Any) -> Any:
    """The JSON merge patch (RFC 7396) that turns an object into another: what vanishes is null."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    gone: Manifest = {key: None for key in old if key not in new}
    changed = {key: replacement(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    return gone | changed


def holds(manifest: Any, patch: Any) -> bool:
    """Whether a merge patch would change nothing."""
    if not isinstance(patch, dict):
        return bool(manifest == patch)
    if not isinstance(manifest, dict):
        return False
    return all(
        (key not in manifest) if value is None else (key in manifest and holds(manifest[key], value))
        for key, value in patch.items()
    )
