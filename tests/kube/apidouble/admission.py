"""What happens to an object before it is stored: its place, defaults, schema, what cannot change, quotas."""

from __future__ import annotations

import base64
import itertools
import re
from typing import TYPE_CHECKING, Any

from kube.apidouble import kinds, schema
from kube.apidouble.kinds import Kind
from kube.apidouble.refusal import Refused

if TYPE_CHECKING:
    from kube.apidouble.store import Store

NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")
FIXED: dict[str, tuple[str, ...]] = {
    "Job": ("template", "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"),
    "Service": ("clusterIP",),
    "PersistentVolumeClaim": ("accessModes", "storageClassName"),
    "Deployment": ("selector",),
}
"""Fields of a spec that nobody may change."""
_addresses = itertools.count(10)


def check_place(store: Store, kind: Kind, namespace: str, meta: dict) -> None:
    """Raises:
    Refused: the name is none, or there is no namespace to be in.
    """
    name = meta.get("name", "")
    if not NAME.fullmatch(name):
        raise invalid(kind, name, f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain is required')
    if meta.get("namespace", namespace) != namespace:
        raise Refused(400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request")  # fmt: skip
    if not kind.namespaced:
        return
    space = store.find(kinds.NAMESPACE, "", namespace)
    if space is None:
        raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
    if "deletionTimestamp" in space["metadata"]:
        told = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise Refused(403, "Forbidden", f'{kind.resource} "{name}" is forbidden: {told}')


def complete(store: Store, kind: Kind, given: dict, old: dict | None, strict: bool) -> dict:
    """The object as it will be stored."""
    if kind.schema is not None:
        given = by_schema(kind, given, strict)
    given = with_data(kind, given)
    fill = FILLS.get(kind.name)
    filled = given if fill is None else fill(store, given, old)
    for field in FIXED.get(kind.name, ()) if old is not None else ():
        if filled["spec"].get(field) != old["spec"].get(field):  # type: ignore[index]
            raise invalid(kind, given["metadata"]["name"], f"spec.{field}: Invalid value: field is immutable")
    return filled


def by_schema(kind: Kind, given: dict, strict: bool) -> dict:
    assert kind.schema is not None
    kept, unknown = schema.prune(given, kind.schema)
    if strict and unknown:
        told = ", ".join(f'unknown field "{name}"' for name in unknown)
        raise Refused(400, "BadRequest", f"{kind.name} in version {kind.version!r} cannot be handled: strict decoding error: {told}")  # fmt: skip
    filled = schema.fill(kept, kind.schema)
    wrong = schema.faults(filled, kind.schema)
    if wrong:
        raise invalid(kind, given["metadata"]["name"], wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return dict(filled)


def with_data(kind: Kind, given: dict) -> dict:
    """A Secret's text as data."""
    if kind.name != "Secret" or "stringData" not in given:
        return given
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in given["stringData"].items()}
    rest = {key: value for key, value in given.items() if key != "stringData"}
    return {**rest, "data": {**given.get("data", {}), **encoded}}


def check_quota(store: Store, kind: Kind, made: dict) -> None:
    """Raises:
    Refused: 403, a quota of the namespace has no room for one more.
    """
    namespace = made["metadata"].get("namespace", "")
    for quota in store.list(kinds.QUOTA, namespace) if namespace and kind != kinds.QUOTA else ():
        for counted, limit in quota["spec"].get("hard", {}).items():
            if counted not in (kind.plural, f"count/{kind.resource}"):
                continue
            used = usage(store, namespace, counted)
            if used is not None and used + 1 > amount(limit):
                told = f"exceeded quota: {quota['metadata']['name']}, requested: {counted}=1, used: {counted}={used}, limited: {counted}={limit}"
                raise Refused(403, "Forbidden", f'{kind.resource} "{made["metadata"]["name"]}" is forbidden: {told}')


def usage(store: Store, namespace: str, counted: str) -> int | None:
    """Objects that count; none for a resource that is not counted here."""
    for kind in store.kinds:
        if counted in (kind.plural, f"count/{kind.resource}"):
            found = store.list(kind, namespace)
            ended = ("Succeeded", "Failed") if counted == "pods" else ()
            return sum(one.get("status", {}).get("phase") not in ended for one in found)
    return None


def amount(text: object) -> int:
    """An integral quantity."""
    digits = str(text).removesuffix("k")
    return int(digits) * (1 if digits == str(text) else 1000)


def invalid(kind: Kind, name: str, why: str) -> Refused:
    long = f"{kind.name}.{kind.group}" if kind.group else kind.name
    return Refused(422, "Invalid", f'{long} "{name}" is invalid: {why}')


def _namespace(store: Store, given: dict, old: dict | None) -> dict:
    meta = given["metadata"]
    marks = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta["name"]}
    phase = given.get("status") or {"phase": "Active"}
    return {"spec": {"finalizers": ["kubernetes"]}, **given, "status": phase, "metadata": {**meta, "labels": marks}}


def _service(store: Store, given: dict, old: dict | None) -> dict:
    spec, before = given["spec"], (old or {"spec": {}})["spec"]
    address = spec.get("clusterIP") or before.get("clusterIP") or _free(store)
    others = [
        one for one in store.list(kinds.Kind("Service", "", "v1", "services")) if one["spec"]["clusterIP"] == address
    ]
    if old is None and others:
        raise invalid(kinds.Kind("Service", "", "v1", "services"), given["metadata"]["name"],
                      f'spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP {address}: provided IP is already allocated')  # fmt: skip
    ports = [{"protocol": "TCP", **port} for port in spec.get("ports", [])]
    return {
        **given,
        "spec": {"type": "ClusterIP", **spec, "clusterIP": address, "clusterIPs": [address], "ports": ports},
    }


def _free(store: Store) -> str:
    number = next(_addresses)
    return f"10.96.{number // 250 % 250}.{number % 250 + 1}"


def _job(store: Store, given: dict, old: dict | None) -> dict:
    spec, meta = given["spec"], given["metadata"]
    indexed = spec.get("completionMode") == "Indexed"
    base: dict[str, Any] = {"completionMode": "NonIndexed", "parallelism": 1, "completions": 1, "suspend": False}
    base["backoffLimit"] = 6 if not (indexed and "backoffLimitPerIndex" in spec) else 2**31 - 1
    base["podReplacementPolicy"] = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    mark = {"batch.kubernetes.io/controller-uid": meta["uid"]}
    base["selector"] = {"matchLabels": mark}
    inside = spec["template"].get("metadata", {})
    names = {"controller-uid": meta["uid"], "job-name": meta["name"], "batch.kubernetes.io/job-name": meta["name"]}
    template = {**spec["template"], "metadata": {**inside, "labels": {**inside.get("labels", {}), **mark, **names}}}
    return {**given, "spec": {**base, **spec, "template": template}}


def _pod(store: Store, given: dict, old: dict | None) -> dict:
    return given if old is not None else {**given, "status": {"phase": "Pending"}}


def _crd(store: Store, given: dict, old: dict | None) -> dict:
    conditions = [{"type": one, "status": "True", "reason": "Double"} for one in ("NamesAccepted", "Established")]
    return {**given, "status": {"conditions": conditions, "acceptedNames": given["spec"]["names"]}}


FILLS = {
    "Namespace": _namespace,
    "Service": _service,
    "Job": _job,
    "Pod": _pod,
    "CustomResourceDefinition": _crd,
}
