"""What the server says it serves."""

from __future__ import annotations

from kube.apidouble.kinds import Kind


def discovery(kinds: list[Kind], steps: list[str]) -> dict | None:
    """The answer to a path that asks what is served; none if it does not."""
    if steps in (["version"], ["readyz"], ["healthz"], ["livez"]):
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.0-double"}
    if steps == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    if steps == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(one) for one in _groups(kinds)]}
    served = [one for one in kinds if _base(one) == steps]
    if not served:
        return None
    resources = [entry for one in served for entry in _resources(one)]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": served[0].api_version}
    return {**head, "resources": resources}


def _base(kind: Kind) -> list[str]:
    return ["apis", kind.group, kind.version] if kind.group else ["api", kind.version]


def _groups(kinds: list[Kind]) -> list[tuple[str, str]]:
    return sorted({(one.group, one.version) for one in kinds if one.group})


def _group(named: tuple[str, str]) -> dict:
    version = {"groupVersion": "/".join(named), "version": named[1]}
    return {"name": named[0], "versions": [version], "preferredVersion": version}


def _resources(kind: Kind) -> list[dict]:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    one = {"name": kind.plural, "singularName": kind.name.lower(), "namespaced": kind.namespaced, "kind": kind.name}
    status = {**one, "name": f"{kind.plural}/status", "verbs": ["get", "patch", "update"]}
    return [{**one, "verbs": verbs}, *([status] if kind.status else [])]
