"""The cache of a Kubernetes cluster: versions, deletions, lists; and the pure comparison of what was sent with what stands."""

from __future__ import annotations

from typing import Any

import pytest
from aar_operator.cluster import Ref, intent, kinds
from aar_operator.cluster.cache import Cache
from aar_operator.cluster.slim import slim

REF = Ref("Job", "n", "a")


def job(version: int, name: str = "a", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "n", "uid": "u", "resourceVersion": str(version), "labels": labels}
    return {"kind": "Job", "metadata": meta}


Step = tuple[str, Any]
CASES: dict[str, tuple[list[Step], int | None]] = {
    "newer replaces": ([("put", 1), ("put", 2)], 2),
    "older is no news": ([("put", 2), ("put", 1)], 2),
    "ten is newer than nine": ([("put", 9), ("put", 10)], 10),
    "deleted": ([("put", 1), ("drop", 2)], None),
    "answer that comes after the deletion": ([("put", 1), ("drop", 3), ("put", 2)], None),
    "made again after the deletion": ([("put", 1), ("drop", 3), ("put", 4)], 4),
    "deletion of an older one of that name": ([("put", 5), ("drop", 3)], 5),
    "list without it": ([("put", 1), ("list", 2)], None),
    "list from before it was made": ([("put", 3), ("list", 2)], 3),
    "list with it": ([("put", 1), ("list with 2", 4)], 2),
    "list that is older than what a watch told": ([("put", 5), ("list with 2", 4)], 5),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_known(case: str) -> None:
    cache = Cache()
    steps, wanted = CASES[case]
    for what, version in steps:
        if what == "put":
            cache.put(job(version))
        elif what == "drop":
            cache.drop(job(version))
        else:
            cache.replace("Job", [job(int(what.rsplit(" ", 1)[1]))] if "with" in what else [], version)
    known = cache.get(REF)
    assert (None if known is None else int(known["metadata"]["resourceVersion"])) == wanted


def test_found_by_an_indexed_label_that_moves() -> None:
    cache = Cache()
    mark = "aar.dev/experiment-uid"
    cache.put(job(1, **{mark: "x"}))
    cache.put(job(2, **{mark: "y"}))
    assert cache.find("Job", {mark: "x"}, None) == []
    assert len(cache.find("Job", {mark: "y"}, "n")) == 1
    assert cache.find("Job", {mark: "y"}, "elsewhere") == []


def test_everyone_is_told_of_what_changed_and_of_nothing_else() -> None:
    told: list[tuple[str, bool]] = []
    cache = Cache()
    cache.changed = lambda ref, manifest: told.append((ref.name, cache.get(ref) is None))
    cache.put(job(1))
    cache.put(job(1))
    cache.replace("Job", [job(1), job(2, "b")], 3)
    cache.drop(job(4))
    assert told == [("a", False), ("b", False), ("a", True)]


def test_what_nobody_reads_is_no_news() -> None:
    told: list[int] = []
    cache = Cache(lambda ref, manifest: told.append(int(manifest["metadata"]["resourceVersion"])))
    for version, used, hard in ((1, "0", "5"), (2, "1", "5"), (3, "1", "6")):
        meta = {"name": "a", "namespace": "n", "resourceVersion": str(version)}
        spec = {"hard": {"pods": hard}}
        cache.put({"kind": "ResourceQuota", "metadata": meta, "spec": spec, "status": {"used": {"pods": used}}})
    assert told == [1, 3]


STANDS = {
    "the same": ({"a": 1}, {"a": 1}, True),
    "with more": ({"a": 1}, {"a": 1, "b": 2}, True),
    "changed": ({"a": 1}, {"a": 2}, False),
    "missing": ({"a": 1}, {}, False),
    "an empty value that was left out": ({"a": False, "b": ""}, {}, True),
    "list of another length": ({"a": [1]}, {"a": [1, 2]}, False),
    "element with more": ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True),
}


@pytest.mark.parametrize("case", STANDS)
def test_stands(case: str) -> None:
    sent, got, wanted = STANDS[case]
    assert intent.stands(sent, got) is wanted


def test_a_quantity_that_the_server_writes_in_another_way_is_compared_with_its_own_words() -> None:
    sent = {"limits": {"cpu": "0.5"}}
    held = intent.part_of(sent, {"limits": {"cpu": "500m"}, "more": 1})
    assert held == {"limits": {"cpu": "500m"}}
    assert intent.part_of(sent, {"limits": {"cpu": "600m"}}) != held


def test_replacement_nulls_what_vanishes() -> None:
    old, new = {"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": 3}}
    assert intent.replacement(old, new) == {"a": None, "b": {"c": 3, "d": None}}


def test_a_secret_is_sent_as_it_is_stored_and_marked() -> None:
    one = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    sent = intent.as_stored(one)
    assert (sent["data"], "stringData" in sent) == ({"k": "dg=="}, False)
    other = intent.as_stored({**one, "stringData": {"k": "w"}})
    assert sent["metadata"]["annotations"] != other["metadata"]["annotations"]


KEPT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "who manages a field": ({"kind": "Secret", "metadata": {"managedFields": [1]}}, {"kind": "Secret", "metadata": {}}),
    "a pod's spec": ({"kind": "Pod", "metadata": {}, "spec": {"a": 1}, "status": {"b": 1}},
                     {"kind": "Pod", "metadata": {}, "status": {"b": 1}}),
    "a Job's template": ({"kind": "Job", "metadata": {}, "spec": {"suspend": True, "completions": 2, "template": {}}},
                         {"kind": "Job", "metadata": {}, "spec": {"suspend": True, "completions": 2}}),
    "how many pods a Deployment has": (
        {"kind": "Deployment", "metadata": {}, "status": {"replicas": 1, "conditions": [{"type": "Available"}]}},
        {"kind": "Deployment", "metadata": {}}),
    "why a Deployment has no pods": (
        {"kind": "Deployment", "metadata": {}, "status": {"replicas": 0, "conditions": [{"type": "ReplicaFailure"}]}},
        {"kind": "Deployment", "metadata": {}, "status": {"conditions": [{"type": "ReplicaFailure"}]}}),
    "all of what is applied": ({"kind": "Deployment", "metadata": {}, "spec": {"template": {}}},
                               {"kind": "Deployment", "metadata": {}, "spec": {"template": {}}}),
}  # fmt: skip


@pytest.mark.parametrize("case", KEPT)
def test_what_is_kept_of_an_object(case: str) -> None:
    whole, wanted = KEPT[case]
    assert slim(whole) == wanted


def test_words_are_kept_once() -> None:
    text = "not a word of this module "
    one, other = (slim({"kind": "Experiment", "metadata": {}, "status": {"phase": text + "x"}}) for _ in range(2))
    assert one["status"]["phase"] is other["status"]["phase"]


def test_secrets_of_experiments_are_not_kept() -> None:
    secrets = next(kind for kind in kinds.ALL if kind.name == "Secret")
    assert secrets.selector == "app.kubernetes.io/managed-by=aar-operator,!aar.dev/experiment"
    assert secrets.keeps({"metadata": {"labels": {"aar.dev/campaign": "c"}}})
    assert not secrets.keeps({"metadata": {"labels": {"aar.dev/experiment": "e"}}})
