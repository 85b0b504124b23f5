"""What the operator and its tests count on from an API server and a controller manager: the same checks on a real one and on the double."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from kube import world
from kube.conftest import install_crds
from kube.plane import Plane, doubled, lack_of_kubernetes, running
from kube.world import Api, ended, until

APPLY = {"Content-Type": "application/apply-patch+yaml"}
SECONDS = 60.0


@dataclass
class Server:
    """One of the two, and a namespace in it."""

    plane: Plane
    api: Api
    space: str = ""
    spaces: list[str] = field(default_factory=list)

    def namespace(self) -> str:
        name = f"conf{uuid.uuid4().hex[:8]}"
        assert self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).status_code == 201
        self.spaces.append(name)
        return name

    def path(self, kind: str, name: str = "") -> str:
        return self.api.path(kind, self.space, name)

    def make(self, manifest: dict) -> dict:
        answer = self.api.create(manifest)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def apply(self, manifest: dict, manager: str = "one", force: bool = True) -> httpx.Response:
        path = self.path(manifest["kind"], manifest["metadata"]["name"])
        query = {"fieldManager": manager, "force": str(force).lower()}
        return self.api.send("PATCH", path, content=json.dumps(manifest), headers=APPLY, params=query)

    def map(self, name: str = "m", marks: dict[str, str] | None = None, **data: str) -> dict:
        meta = {"name": name, "namespace": self.space} | ({"labels": marks} if marks else {})
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}

    def watch(self, kind: str, enough: Callable[[list[dict]], bool] | None = None, **query: str) -> list[dict]:
        """Events until there are enough, or else until the server ends the watch, which it does after three seconds."""
        seconds, told = "3" if enough is None else "60", []
        params = {"watch": "true", "timeoutSeconds": seconds, **query}
        with self.api.http.stream("GET", self.path(kind), params=params) as answer:
            assert answer.status_code == 200, answer.read()
            for line in filter(None, answer.iter_lines()):
                told.append(json.loads(line))
                if enough is not None and enough(told):
                    break
        return told

    def pods(self, job: str) -> list[dict]:
        return self.api.list("Pod", self.space, f"batch.kubernetes.io/job-name={job}")

    def finish(self, pod: dict, code: int, **more: object) -> None:
        name = pod["metadata"]["name"]
        status = ended(pod, code) | more
        assert self.api.patch("Pod", self.space, name, {"status": status}, "status").is_success

    def job(self, name: str) -> dict:
        return self.api.get("Job", self.space, name) or {}

    def conditions(self, name: str) -> dict[str, str]:
        """Those of a Job that hold, with their reasons."""
        told = self.job(name).get("status", {}).get("conditions") or []
        return {one["type"]: one["reason"] for one in told if one["status"] == "True"}


@pytest.fixture(scope="module", params=["real", "double"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "real":
        lack_of_kubernetes()
        plane: Plane = request.getfixturevalue("plane")
        yield Server(plane, request.getfixturevalue("api"))
        return
    with doubled(tmp_path_factory.mktemp("double")) as plane:
        api = plane.api()
        install_crds(api)
        yield Server(plane, api)


@pytest.fixture
def server(place: Server) -> Iterator[Server]:
    place.space = place.namespace()
    yield place
    for one in place.spaces if place.plane.lasting else ():
        place.api.delete("Namespace", None, one)
    place.spaces.clear()


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("reason", "")


# Objects and versions.


def test_what_an_object_is_given(server: Server) -> None:
    made = server.make(server.map(a="1"))
    meta = made["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp"} <= meta.keys()
    assert (made["kind"], made["apiVersion"], "generation" in meta) == ("ConfigMap", "v1", False)
    assert int(server.make(server.map("n"))["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])


def test_generated_names(server: Server) -> None:
    manifest = server.map()
    manifest["metadata"] = {"generateName": "gen-", "namespace": server.space}
    names = {server.make(manifest)["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("gen-") for name in names)


REFUSED: dict[str, tuple[Callable[[Server], httpx.Response], tuple[int, str]]] = {
    "a name that is taken": (
        lambda s: (s.make(s.map()), s.api.create(s.map()))[1],
        (409, "AlreadyExists"),
    ),
    "an object that is not there": (lambda s: s.api.send("GET", s.path("ConfigMap", "x")), (404, "NotFound")),
    "a patch of nothing": (lambda s: s.api.patch("ConfigMap", s.space, "x", {"data": {}}), (404, "NotFound")),
    "a namespace that is not there": (
        lambda s: s.api.create({**s.map(), "metadata": {"name": "m", "namespace": "nowhere"}}),
        (404, "NotFound"),
    ),
    "a kind that is not there": (
        lambda s: s.api.send("GET", "/api/v1/unicorns"),
        (404, "NotFound"),
    ),
    "a name of capitals": (lambda s: s.api.create(s.map("UPPER")), (422, "Invalid")),
    "another's UID": (
        lambda s: (
            s.make(s.map()),
            s.api.send("DELETE", s.path("ConfigMap", "m"), json={"preconditions": {"uid": "else"}}),
        )[1],
        (409, "Conflict"),
    ),
    "a stranger": (
        lambda s: httpx.get(
            str(s.api.http.base_url) + "/api/v1/namespaces", verify=False, headers={"Authorization": "Bearer x"}, trust_env=False
        ),
        (401, "Unauthorized"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(server: Server, case: str) -> None:
    act, wanted = REFUSED[case]
    answer = act(server)
    assert reason(answer) == wanted, answer.text
    assert (answer.json()["kind"], answer.json()["status"], answer.json()["code"]) == ("Status", "Failure", wanted[0])


def test_stale_versions_conflict(server: Server) -> None:
    made = server.make(server.map(a="1"))
    path = server.path("ConfigMap", "m")
    assert server.api.send("PUT", path, json={**made, "data": {"a": "2"}}).is_success
    assert reason(server.api.send("PUT", path, json={**made, "data": {"a": "3"}})) == (409, "Conflict")
    version = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "4"}}
    assert reason(server.api.patch("ConfigMap", server.space, "m", version)) == (409, "Conflict")
    assert server.api.get("ConfigMap", server.space, "m")["data"] == {"a": "2"}


def test_what_changes_nothing_is_no_new_version(server: Server) -> None:
    made = server.make(server.map(a="1"))
    patched = server.api.patch("ConfigMap", server.space, "m", {"data": {"a": "1"}}).json()
    assert patched["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_merge_patch(server: Server) -> None:
    server.make(server.map(marks={"x": "1"}, a="1", b="2"))
    patch = {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"x": None, "y": "2"}}}
    got = server.api.patch("ConfigMap", server.space, "m", patch).json()
    assert (got["data"], got["metadata"]["labels"]) == ({"b": "2", "c": "3"}, {"y": "2"})


def test_spec_counts_generations_and_status_does_not(server: Server) -> None:
    made = server.make({**world.experiment(server.space), "status": {"phase": "Running"}})
    assert (made["metadata"]["generation"], "status" in made) == (1, False)
    told = server.api.patch("Experiment", server.space, "e", {"status": {"phase": "Queued"}, "spec": {"seeds": 9}}, "status").json()  # fmt: skip
    assert (told["status"]["phase"], told["spec"].get("seeds"), told["metadata"]["generation"]) == ("Queued", made["spec"].get("seeds"), 1)  # fmt: skip
    both = {"status": {"phase": "Running"}, "spec": {"hypothesis": "h"}}
    changed = server.api.patch("Experiment", server.space, "e", both).json()
    assert (changed["status"]["phase"], changed["metadata"]["generation"]) == ("Queued", 2)


def test_text_of_a_secret_becomes_data(server: Server) -> None:
    meta = {"name": "s", "namespace": server.space}
    got = server.make({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"k": "v"}})
    assert (got["data"], "stringData" in got) == ({"k": "dg=="}, False)


def test_address_of_a_service(server: Server) -> None:
    meta, spec = {"name": "s", "namespace": server.space}, {"ports": [{"port": 80}], "selector": {"a": "b"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta}
    made = server.make({**service, "spec": spec})
    address = made["spec"]["clusterIP"]
    assert address.count(".") == 3
    assert server.api.patch("Service", server.space, "s", {"spec": {"clusterIP": "10.96.200.1"}}).status_code == 422
    other = {**service, "metadata": {**meta, "name": "t"}, "spec": {**spec, "clusterIP": address}}
    assert reason(server.api.create(other)) == (422, "Invalid")
    server.api.delete("Service", server.space, "s")
    assert server.make({**service, "spec": {**spec, "clusterIP": address}})["spec"]["clusterIP"] == address


# Deletion.


def test_deleted_at_once(server: Server) -> None:
    made = server.make(server.map())
    answer = server.api.delete("ConfigMap", server.space, "m")
    assert (answer.status_code, answer.json()["kind"], answer.json()["status"]) == (200, "Status", "Success")
    assert server.make(server.map())["metadata"]["uid"] != made["metadata"]["uid"]


def test_finalizers_hold(server: Server) -> None:
    manifest = server.map()
    manifest["metadata"]["finalizers"] = ["aar.dev/a", "aar.dev/b"]
    server.make(manifest)
    first = server.api.delete("ConfigMap", server.space, "m").json()
    assert first["metadata"]["deletionTimestamp"]
    again = server.api.delete("ConfigMap", server.space, "m").json()
    assert again["metadata"]["deletionTimestamp"] == first["metadata"]["deletionTimestamp"]

    def patch(finalizers: list[str]) -> httpx.Response:
        return server.api.patch("ConfigMap", server.space, "m", {"metadata": {"finalizers": finalizers}})

    assert patch(["aar.dev/a", "aar.dev/c"]).status_code == 422
    assert patch(["aar.dev/a"]).is_success
    last = patch([])
    assert (last.status_code, last.json()["metadata"].get("finalizers")) == (200, None)
    assert server.api.get("ConfigMap", server.space, "m") is None


def test_owned_objects_go_too(server: Server) -> None:
    owner = server.make(server.map("owner"))
    child = server.map("child")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    child["metadata"]["ownerReferences"] = [reference]
    server.make(child)
    server.make(server.map("other"))
    server.api.delete("ConfigMap", server.space, "owner")
    until("the child goes", lambda: server.api.get("ConfigMap", server.space, "child") is None, SECONDS)
    assert server.api.get("ConfigMap", server.space, "other")


def test_a_namespace_ends(server: Server) -> None:
    held = server.map("held")
    held["metadata"]["finalizers"] = ["aar.dev/a"]
    server.make(held)
    server.make(server.map("free"))
    made = server.api.get("Namespace", None, server.space)
    assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == server.space
    assert made["status"]["phase"] == "Active"
    server.api.delete("Namespace", None, server.space)
    seen = server.api.get("Namespace", None, server.space)
    assert (seen["status"]["phase"], "deletionTimestamp" in seen["metadata"]) == ("Terminating", True)
    until("what is free goes", lambda: server.api.get("ConfigMap", server.space, "free") is None, SECONDS)
    refused = server.api.create(server.map("late"))
    assert (reason(refused), "because it is being terminated" in refused.text) == ((403, "Forbidden"), True)
    assert "deletionTimestamp" in server.api.get("ConfigMap", server.space, "held")["metadata"]
    server.api.patch("ConfigMap", server.space, "held", {"metadata": {"finalizers": []}})
    until("the namespace goes", lambda: server.api.get("Namespace", None, server.space) is None, SECONDS)


# Server-side apply.


def test_apply_makes_and_replaces(server: Server) -> None:
    assert server.apply(server.map(a="1", b="2")).status_code == 201
    got = server.apply(server.map(a="3"))
    assert (got.status_code, got.json()["data"]) == (200, {"a": "3"})


def test_apply_leaves_what_others_wrote(server: Server) -> None:
    server.apply(server.map(a="1", b="2"))
    server.apply(server.map(b="2", c="3"), "two")
    server.api.patch("ConfigMap", server.space, "m", {"metadata": {"annotations": {"theirs": "1"}}, "data": {"d": "4"}})
    got = server.apply(server.map(a="1")).json()
    assert got["data"] == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert got["metadata"]["annotations"] == {"theirs": "1"}


def test_apply_conflicts_unless_forced(server: Server) -> None:
    server.apply(server.map(a="1"))
    assert reason(server.apply(server.map(a="2"), "two", force=False)) == (409, "Conflict")
    shared = server.apply(server.map(a="1", b="1"), "two", force=False)
    assert shared.is_success, shared.text
    assert server.apply(server.map(a="2"), "two").json()["data"] == {"a": "2"}


def test_apply_of_the_same_is_no_new_version(server: Server) -> None:
    first = server.apply(server.map(marks={"x": "1"}, a="1")).json()
    again = server.apply(server.map(marks={"x": "1"}, a="1")).json()
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


def test_apply_heals_what_was_changed(server: Server) -> None:
    meta = {"name": "p", "namespace": server.space}
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"protocol": "TCP", "port": 80}]}]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}
    before = server.apply(policy).json()
    assert (
        server.api.patch("NetworkPolicy", server.space, "p", {"spec": {"egress": [{}]}}).json()["spec"]
        != before["spec"]
    )
    healed = server.apply(policy).json()
    assert (healed["spec"], healed["metadata"]["generation"]) == (before["spec"], 3)


# Lists and watches.


def test_lists_in_pages_by_label(server: Server) -> None:
    for number in range(5):
        server.make(server.map(f"m{number}", {"parity": str(number % 2)}))
    query = {"labelSelector": "parity", "limit": "2"}
    names, version, token = [], set(), ""
    while True:
        page = server.api.send("GET", server.path("ConfigMap"), params=query | ({"continue": token} if token else {}))
        body = page.json()
        names += [one["metadata"]["name"] for one in body["items"]]
        version.add(body["metadata"]["resourceVersion"])
        token = body["metadata"].get("continue", "")
        if not token:
            break
        server.api.delete("ConfigMap", server.space, "m4")
    assert names == ["m0", "m1", "m2", "m3", "m4"], "pages are of the moment of the first"
    assert len(version) == 1


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("color=red", ["a"]),
        ("color!=red", ["b", "c"]),
        ("color", ["a", "b"]),
        ("!color", ["c"]),
        ("color in (red,blue),size=1", ["a"]),
        ("color notin (red)", ["b", "c"]),
    ],
)
def test_label_selectors(server: Server, selector: str, found: list[str]) -> None:
    for name, marks in (("a", {"color": "red", "size": "1"}), ("b", {"color": "blue"}), ("c", {"size": "1"})):
        server.make(server.map(name, {**marks, "mine": "1"}))
    assert [one["metadata"]["name"] for one in server.api.list("ConfigMap", server.space, f"mine,{selector}")] == found


def test_a_watch_tells_what_happened_since(server: Server) -> None:
    version = server.make(server.map("before"))["metadata"]["resourceVersion"]
    server.make(server.map("x", {"seen": "1"}))
    server.api.patch("ConfigMap", server.space, "x", {"data": {"a": "1"}})
    server.api.patch("ConfigMap", server.space, "x", {"metadata": {"labels": {"seen": "2"}}})
    server.api.patch("ConfigMap", server.space, "x", {"metadata": {"labels": {"seen": "1"}}})
    server.api.delete("ConfigMap", server.space, "x")
    told = server.watch("ConfigMap", lambda seen: seen[-1]["type"] == "DELETED", resourceVersion=version)
    # A controller puts a map of its own into every namespace.
    every = [one for one in told if one["object"]["metadata"]["name"] == "x"]
    assert [one["type"] for one in every] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in every]
    assert versions == sorted(versions)
    assert {one["object"]["kind"] for one in every} == {"ConfigMap"}
    twice = lambda seen: [one["type"] for one in seen].count("DELETED") == 2  # noqa: E731
    some = server.watch("ConfigMap", twice, resourceVersion=version, labelSelector="seen=1")
    assert [one["type"] for one in some] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]


def test_a_watch_without_a_version_begins_with_what_is_there(server: Server) -> None:
    server.make(world.experiment(server.space))
    events = server.watch("Experiment")
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in events] == [("ADDED", "e")]


def test_initial_events_end_with_a_bookmark(server: Server) -> None:
    server.make(world.experiment(server.space))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    first, mark = server.watch("Experiment", lambda seen: len(seen) == 2, **query)
    assert (first["type"], mark["type"]) == ("ADDED", "BOOKMARK")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["object"]["metadata"]["resourceVersion"]) >= int(first["object"]["metadata"]["resourceVersion"])


def test_the_past_is_forgotten(server: Server) -> None:
    """Of watches; a real one keeps the pages of a list for minutes."""
    server.make(world.experiment(server.space))
    server.plane.compact()
    (event,) = server.watch("Experiment", resourceVersion="1")
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


# What CRDs do.

WRONG = {
    "nothing that must be": ({"spec": {"budget": {"limitUSD": "1"}}}, "spec.task: Required value"),
    "another type": (
        {"spec": {"task": {"name": "chat"}, "budget": {"limitUSD": 1}}},
        "spec.budget.limitUSD in body must be of type string",
    ),
    "a pattern": ({"spec": {"task": {"name": "chat"}, "budget": {"limitUSD": "-1"}}}, "spec.budget.limitUSD in body should match"),
    "a maximum": (
        {"spec": {"task": {"name": "chat"}, "budget": {"limitUSD": "1"}, "researchers": {"count": 65}}},
        "spec.researchers.count in body should be less than or equal to 64",
    ),
    "a word that is none of a list": (
        {"spec": {"task": {"name": "chat"}, "budget": {"limitUSD": "1", "onExceeded": "Panic"}}},
        'spec.budget.onExceeded: Unsupported value: "Panic": supported values: ',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_schemas_refuse(server: Server, case: str) -> None:
    change, words = WRONG[case]
    answer = server.api.create(world.campaign(server.space) | change)
    assert reason(answer) == (422, "Invalid")
    assert words in answer.json()["message"]
    assert 'ResearchCampaign.aar.dev "c" is invalid' in answer.json()["message"]


def test_schemas_fill_and_prune(server: Server) -> None:
    made = server.make(world.campaign(server.space, buget="1"))
    assert "buget" not in made["spec"]
    assert made["spec"]["evaluation"]["replication"] == {"topK": 3, "seeds": 5}
    strict = server.api.send(
        "POST", server.path("ResearchCampaign"), json=world.campaign(server.space, "d", buget="1"), params={"fieldValidation": "Strict"}
    )  # fmt: skip
    assert (reason(strict), 'unknown field "spec.buget"' in strict.text.replace("\\", "")) == (
        (400, "BadRequest"),
        True,
    )


def test_status_is_judged_too(server: Server) -> None:
    server.make(world.experiment(server.space))
    answer = server.api.patch("Experiment", server.space, "e", {"status": {"phase": "Nowhere"}}, "status")
    assert reason(answer) == (422, "Invalid")


# What the controller manager does.


def job(server: Server, name: str = "j", **spec: Any) -> dict:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}], "nodeSelector": {"no": "node"}}
    template = {"metadata": {"labels": {"of": name}}, "spec": pod}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": server.space}}
    return server.make({**body, "spec": {"template": template, **spec}})


def indexed(server: Server, seeds: int = 2, **spec: Any) -> dict:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailIndex", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
    ]
    known = {"completionMode": "Indexed", "completions": seeds, "parallelism": seeds, "backoffLimitPerIndex": 1}
    known |= {"maxFailedIndexes": seeds, "podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": rules}}
    return job(server, **(known | spec))


def of_index(server: Server, index: int) -> dict:
    """The pod of an index that has not ended."""
    mark = "batch.kubernetes.io/job-completion-index"
    found = lambda: [one for one in server.pods("j") if one["metadata"]["labels"][mark] == str(index)  # noqa: E731
                     and one["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in one["metadata"]]  # fmt: skip
    return dict(until(f"index {index} has a pod", found, SECONDS)[0])


def until_ended(server: Server, kind: str) -> dict[str, str]:
    told = lambda: kind in server.conditions("j") and server.conditions("j")  # noqa: E731
    return dict(until(f"the Job is {kind}", told, SECONDS, lambda: server.job("j")))


def test_a_job_makes_a_pod_an_index(server: Server) -> None:
    made = indexed(server, 3)
    until("three pods", lambda: len(server.pods("j")) == 3, SECONDS)
    for one in server.pods("j"):
        meta = one["metadata"]
        assert meta["labels"]["of"] == "j"
        assert meta["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
        assert meta["name"].startswith(f"j-{meta['labels']['batch.kubernetes.io/job-completion-index']}-")
        assert one["status"]["phase"] == "Pending"
    for index in range(3):
        server.finish(of_index(server, index), 0)
    assert until_ended(server, "Complete")["Complete"] == "CompletionsReached"
    status = server.job("j")["status"]
    assert (status["completedIndexes"], status["succeeded"], "completionTime" in status) == ("0-2", 3, True)


def test_an_index_is_tried_again_and_then_given_up(server: Server) -> None:
    indexed(server)
    first = of_index(server, 0)
    server.finish(first, 1)
    second = until("another pod", lambda: (one := of_index(server, 0))["metadata"]["uid"] != first["metadata"]["uid"] and one, SECONDS)  # fmt: skip
    server.finish(second, 1)
    server.finish(of_index(server, 1), 0)
    assert until_ended(server, "Failed")["Failed"] == "FailedIndexes"
    status = server.job("j")["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("1", "0", 2)


def test_a_rule_gives_an_index_up_at_once(server: Server) -> None:
    indexed(server)
    server.finish(of_index(server, 0), 42)
    server.finish(of_index(server, 1), 0)
    until_ended(server, "Failed")
    assert server.job("j")["status"]["failed"] == 1


def test_a_rule_fails_the_job(server: Server) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}}
    job(server, backoffLimit=6, podFailurePolicy={"rules": [rule]})
    server.finish(until("a pod", lambda: server.pods("j"), SECONDS)[0], 42)
    assert until_ended(server, "Failed")["Failed"] == "PodFailurePolicy"


def test_a_disruption_does_not_count(server: Server) -> None:
    indexed(server, 1, backoffLimitPerIndex=0)
    first = of_index(server, 0)
    server.finish(
        first, 137, conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    )
    again = until("another pod", lambda: (one := of_index(server, 0))["metadata"]["uid"] != first["metadata"]["uid"] and one, SECONDS)  # fmt: skip
    server.finish(again, 0)
    until_ended(server, "Complete")
    assert server.job("j")["status"].get("failed", 0) == 0


def test_too_many_faults(server: Server) -> None:
    job(server, backoffLimit=0)
    server.finish(until("a pod", lambda: server.pods("j"), SECONDS)[0], 1)
    assert until_ended(server, "Failed")["Failed"] == "BackoffLimitExceeded"


def test_a_deadline(server: Server) -> None:
    indexed(server, activeDeadlineSeconds=1)
    assert until_ended(server, "Failed")["Failed"] == "DeadlineExceeded"
    until("its pods are stopped", lambda: not server.job("j")["status"].get("active"), SECONDS)


def test_suspended_and_resumed(server: Server) -> None:
    made = indexed(server, 1)
    of_index(server, 0)
    suspend = lambda value: server.api.patch("Job", server.space, "j", {"spec": {"suspend": value}})  # noqa: E731
    assert suspend(True).is_success
    until("it is suspended", lambda: "Suspended" in server.conditions("j"), SECONDS)
    until("its pods are gone", lambda: not server.pods("j"), SECONDS)
    assert suspend(False).is_success
    server.finish(of_index(server, 0), 0)
    until_ended(server, "Complete")
    assert server.job("j")["status"].get("failed", 0) == 0
    assert server.job("j")["metadata"]["uid"] == made["metadata"]["uid"]


def test_suspended_from_the_beginning(server: Server) -> None:
    indexed(server, 1, suspend=True)
    until("it says so", lambda: "Suspended" in server.conditions("j"), SECONDS)
    assert server.pods("j") == []


def test_pods_go_with_their_job(server: Server) -> None:
    indexed(server)
    of_index(server, 1)
    server.api.delete("Job", server.space, "j")
    until("nothing is left", lambda: not server.job("j") and not server.pods("j"), SECONDS)


def test_a_job_goes_some_time_after_its_end(server: Server) -> None:
    indexed(server, 1)
    server.finish(of_index(server, 0), 0)
    until_ended(server, "Complete")
    assert server.api.patch("Job", server.space, "j", {"spec": {"ttlSecondsAfterFinished": 1}}).is_success
    until("it goes", lambda: not server.job("j") and not server.pods("j"), SECONDS)


def test_a_jobs_template_is_fixed(server: Server) -> None:
    indexed(server, 1)
    change = {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}
    answer = server.api.patch("Job", server.space, "j", change)
    assert (reason(answer), "field is immutable" in answer.text) == ((422, "Invalid"), True)


def quota(server: Server, **hard: str) -> None:
    meta = {"name": "q", "namespace": server.space}
    server.make({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}})
    counted = lambda: (server.api.get("ResourceQuota", server.space, "q") or {})["status"].get("hard") == hard  # noqa: E731
    until("it is counted", counted, SECONDS)


def test_a_quota_refuses(server: Server) -> None:
    quota(server, secrets="1")
    made: list[int] = []

    def refused() -> httpx.Response | None:
        meta = {"name": f"s{len(made)}", "namespace": server.space}
        answer = server.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta})
        made.append(answer.status_code)
        return None if answer.status_code == 201 else answer

    # A real server decides by what it remembers, and for a moment that may be a count from before the first.
    answer = until("one is refused", refused, SECONDS)
    assert made[0] == 201
    assert reason(answer) == (403, "Forbidden")
    there = len(made) - 1
    assert "exceeded quota: q, requested: secrets=1, used: secrets=" in answer.text
    assert ", limited: secrets=1" in answer.text
    assert there == 1 or server.plane.real
    used = lambda: server.api.get("ResourceQuota", server.space, "q")["status"]["used"]  # noqa: E731
    until("its status says so", lambda: used() == {"secrets": str(there)}, SECONDS)


def test_a_job_waits_for_a_quota(server: Server) -> None:
    quota(server, pods="1")
    indexed(server, 2)
    until("one pod", lambda: len(server.pods("j")) == 1, SECONDS)
    assert server.api.patch("ResourceQuota", server.space, "q", {"spec": {"hard": {"pods": "5"}}}).is_success
    until("both", lambda: len(server.pods("j")) == 2, SECONDS)


def test_discovery(server: Server) -> None:
    groups = [one["name"] for one in server.api.send("GET", "/apis").json()["groups"]]
    assert {"aar.dev", "batch", "apps", "networking.k8s.io"} <= set(groups)
    served = server.api.send("GET", "/apis/aar.dev/v1alpha1").json()["resources"]
    kinds = {one["name"]: (one["kind"], one["namespaced"]) for one in served}
    assert kinds["experiments"] == ("Experiment", True)
    assert "experiments/status" in kinds


def test_running_chooses_the_double_where_there_is_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBEBUILDER_ASSETS", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    with running(tmp_path) as plane:
        assert not plane.real


def test_a_lack_of_kubernetes_fails_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBEBUILDER_ASSETS", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TESTS_REQUIRE", "helm kubernetes")
    with pytest.raises(
        pytest.fail.Exception, match="TESTS_REQUIRE asks for kubernetes, but neither KUBEBUILDER_ASSETS"
    ):
        lack_of_kubernetes()
