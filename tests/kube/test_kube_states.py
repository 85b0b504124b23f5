"""What happens to experiments of a campaign that researches, a case a row: what is done, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from kube import world
from kube.conftest import namespaces
from kube.hubdouble import Hubs, OneHub
from kube.inside import Faults, Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, condition, ended, part, phase, until


@dataclass
class Home:
    """One campaign that researches, with an operator that lives while somebody waits."""

    api: Api
    space: str
    found: dict
    hub: OneHub
    inside: Inside
    kubelet: Kubelet
    hold: set[str] = field(default_factory=set)
    codes: dict[str, int] = field(default_factory=dict)

    def ends(self, pod: dict) -> int | None:
        name = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
        if name == "researcher" or name in self.hold or name.rpartition("-")[0] in self.hold:
            return None
        return self.codes.get(name.rpartition("-")[0], 0)

    def until(self, enough: Callable[[], object]) -> None:
        assert self.inside.live(enough, 120)

    def experiment(self, name: str) -> dict:
        return self.api.get("Experiment", self.space, name) or {}

    def job(self, name: str, attempt: int = 1) -> dict | None:
        return self.api.get("Job", part(self.found, "r0"), f"{name}-{attempt}")

    def pods(self, name: str, attempt: int = 1) -> list[dict]:
        return self.api.list("Pod", part(self.found, "r0"), f"batch.kubernetes.io/job-name={name}-{attempt}")

    def start(self, name: str, **spec: object) -> None:
        """Apply one and wait until it runs."""
        self.hold.add(name)
        self.api.create(world.experiment(self.space, name, **spec))
        self.until(lambda: phase(self.experiment(name)) == "Running" and self.pods(name))
        self.until(lambda: all(one["status"]["phase"] == "Running" for one in self.pods(name)))

    def patch(self, name: str, spec: dict) -> None:
        assert self.api.patch("Experiment", self.space, name, {"spec": spec}).is_success


@pytest.fixture(scope="module")
def home(plane: Plane, api: Api, hubs: Hubs) -> Iterator[Home]:
    with namespaces(api, "s", plane.lasting) as space, Kubelet(api, space) as kubelet:
        found = api.create(world.campaign(space, experiments={"parallelism": 50})).json()
        inside = Inside(plane.kubeconfig, space, hubs.url, Faults())
        home = Home(api, space, found, hubs.of(part(found, "hub")), inside, kubelet)
        kubelet.ends = home.ends
        home.until(lambda: phase(api.get("ResearchCampaign", space, "c")) == "Researching")
        yield home


def test_job_fails(home: Home) -> None:
    home.codes["fails"] = 42
    home.api.create(world.experiment(home.space, "fails"))
    home.until(lambda: phase(home.experiment("fails")) == "Failed")
    assert condition(home.experiment("fails"), "Failed")[1] == "SeedFailed"
    assert home.job("fails", 2) is None


def test_pod_evicted_is_run_again_and_not_counted(home: Home) -> None:
    home.start("evicted")
    (pod,) = home.pods("evicted")
    lost = ended(pod, 137) | {
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    }
    path = home.api.path("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
    assert home.api.patch(
        "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], {"status": lost}, "status"
    ).is_success
    assert path
    home.hold.discard("evicted")
    home.until(lambda: phase(home.experiment("evicted")) == "Complete")
    assert home.job("evicted")["status"].get("failed", 0) == 0
    assert home.experiment("evicted")["status"]["attempts"] == 1


def test_pod_that_was_removed_is_paid_for(home: Home) -> None:
    """In one life of the operator: what it saw of the pod is all that is left of it."""
    home.hold.add("removed")
    home.api.create(world.experiment(home.space, "removed"))
    since: list[float] = []

    def enough() -> bool:
        running = [one for one in home.pods("removed") if one["status"]["phase"] == "Running"]
        if running and not since:
            since.append(time.monotonic())
        if running and time.monotonic() - since[0] > 3 and "removed" in home.hold:
            for one in running:
                home.api.delete("Pod", one["metadata"]["namespace"], one["metadata"]["name"])
            home.hold.discard("removed")
        return phase(home.experiment("removed")) == "Complete"

    home.until(enough)
    (outcome,) = home.hub.settled["removed"][-1].indexes
    assert outcome.succeeded
    assert outcome.seconds >= 2


def test_pod_that_went_while_no_operator_lived_is_paid_for(home: Home) -> None:
    """What the Job controller writes on the pod that follows is all that is left of it."""
    home.start("unseen")
    time.sleep(3)
    gone = home.pods("unseen")
    for one in gone:
        home.api.delete("Pod", one["metadata"]["namespace"], one["metadata"]["name"])
    old = {one["metadata"]["uid"] for one in gone}
    until("they are gone", lambda: not [one for one in home.pods("unseen") if one["metadata"]["uid"] in old])
    home.hold.discard("unseen")
    until("another pod ended", lambda: any(one["status"].get("phase") == "Succeeded" for one in home.pods("unseen")))
    home.until(lambda: phase(home.experiment("unseen")) == "Complete")
    (outcome,) = home.hub.settled["unseen"][-1].indexes
    assert outcome.seconds >= 2


def test_job_runs_out_of_time(home: Home) -> None:
    home.hold.add("slow")
    home.api.create(world.experiment(home.space, "slow"))
    home.until(lambda: phase(home.experiment("slow")) == "Running")
    namespace = part(home.found, "r0")
    assert home.api.patch("Job", namespace, "slow-1", {"spec": {"activeDeadlineSeconds": 1}}).is_success
    home.until(lambda: phase(home.experiment("slow")) == "Failed")
    assert "DeadlineExceeded" in condition(home.experiment("slow"), "Failed")[2]


def test_job_deleted_by_hand_is_made_again_and_then_given_up(home: Home) -> None:
    home.hold.add("gone")
    home.api.create(world.experiment(home.space, "gone"))
    for attempt in (1, 2, 3):
        home.until(
            lambda attempt=attempt: (
                home.experiment("gone").get("status", {}).get("jobRef", {}).get("name") == f"gone-{attempt}"
            )
        )
        home.api.delete("Job", part(home.found, "r0"), f"gone-{attempt}")
    home.until(lambda: phase(home.experiment("gone")) == "Failed")
    assert condition(home.experiment("gone"), "Failed")[1] == "JobFailed"
    assert home.hub.settled["gone"][-1].outcome == "lost"


def test_suspended_and_resumed(home: Home) -> None:
    home.start("rests")
    home.patch("rests", {"desiredState": "Suspended"})
    home.until(lambda: condition(home.experiment("rests"), "Suspended")[0] == "True" and not home.pods("rests"))
    assert home.job("rests")["spec"]["suspend"] is True
    home.hold.discard("rests")
    home.patch("rests", {"desiredState": "Active"})
    home.until(lambda: phase(home.experiment("rests")) == "Complete")
    assert condition(home.experiment("rests"), "Suspended")[:2] == ("False", "Resumed")


def test_suspended_before_it_began_makes_no_job(home: Home) -> None:
    home.api.create(world.experiment(home.space, "idle", desiredState="Suspended"))
    home.until(lambda: condition(home.experiment("idle"), "Suspended")[0] == "True")
    assert home.job("idle") is None


def test_suspended_while_it_waits_for_money(home: Home) -> None:
    waits_for_money(home, "patient")
    home.patch("patient", {"desiredState": "Suspended"})
    home.until(lambda: condition(home.experiment("patient"), "Suspended")[0] == "True")
    del home.hub.refuse["patient"]
    home.patch("patient", {"desiredState": "Active"})
    home.until(lambda: phase(home.experiment("patient")) == "Complete")


def test_suspended_after_its_end_is_as_it_was(home: Home) -> None:
    ends_well(home, "late-rest")
    home.patch("late-rest", {"desiredState": "Suspended"})
    rounds = iter(range(5))
    home.until(lambda: next(rounds, None) is None)
    assert phase(home.experiment("late-rest")) == "Complete"
    assert condition(home.experiment("late-rest"), "Suspended") == ("", "", "")


def test_cancelled_while_it_runs(home: Home) -> None:
    home.start("cancelled")
    home.patch("cancelled", {"desiredState": "Cancelled"})
    home.until(lambda: phase(home.experiment("cancelled")) == "Cancelled" and home.job("cancelled") is None)
    assert home.hub.settled["cancelled"][-1].outcome == "cancelled"


def waits_for_money(home: Home, name: str) -> None:
    home.hub.refuse[name] = ("wait", "WaitingForBudget", "No money now.")
    home.api.create(world.experiment(home.space, name))
    home.until(lambda: condition(home.experiment(name), "BudgetReserved")[1] == "WaitingForBudget")


def ends_well(home: Home, name: str) -> None:
    home.api.create(world.experiment(home.space, name))
    home.until(
        lambda: phase(home.experiment(name)) == "Complete" and not home.experiment(name)["metadata"].get("finalizers")
    )


def rests(home: Home, name: str) -> None:
    home.start(name)
    home.patch(name, {"desiredState": "Suspended"})
    home.until(lambda: condition(home.experiment(name), "Suspended")[0] == "True" and not home.pods(name))


def fails(home: Home, name: str) -> None:
    home.codes[name] = 42
    home.api.create(world.experiment(home.space, name))
    home.until(lambda: phase(home.experiment(name)) == "Failed")


def is_cancelled(home: Home, name: str) -> None:
    home.start(name)
    home.patch(name, {"desiredState": "Cancelled"})
    home.until(lambda: phase(home.experiment(name)) == "Cancelled" and home.job(name) is None)


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("d-queued", waits_for_money),
        ("d-running", lambda home, name: home.start(name)),
        ("d-suspended", rests),
        ("d-complete", ends_well),
        ("d-failed", fails),
        ("d-cancelled", is_cancelled),
    ],
    ids=["queued", "running", "suspended", "complete", "failed", "cancelled"],
)
def test_deleted_in_each_phase(home: Home, name: str, before: Callable[[Home, str], None]) -> None:
    before(home, name)
    home.api.delete("Experiment", home.space, name)
    home.until(lambda: home.experiment(name) == {})
    if name in ("d-running", "d-suspended"):
        assert home.hub.settled[name][-1].outcome == "cancelled"
        home.until(lambda: home.job(name) is None)


def test_deleted_and_made_again_is_another(home: Home) -> None:
    home.start("twin")
    home.api.delete("Experiment", home.space, "twin")
    home.until(lambda: home.experiment("twin") == {})
    del home.hub.views["twin"]
    home.hold.discard("twin")
    ends_well(home, "twin")
    uid = home.experiment("twin")["metadata"]["uid"]
    assert home.job("twin")["metadata"]["labels"]["aar.dev/experiment-uid"] == uid


REFUSALS = {
    "over budget": (
        {}, ("refused", "BudgetExceeded", "It needs 9 USD, but 1 USD is left."), ("BudgetExceeded", "1 USD is left")),
    "a duplicate": ({}, ("refused", "Duplicate", "Run before as x."), ("Duplicate", "Run before")),
    "a list as a hyper-parameter": (
        {"method": {"builtin": "hard-labels", "config": {"x": []}}}, None, ("InvalidSpec", "spec.method.config.x")),
    "a hyper-parameter with a long name": (
        {"method": {"builtin": "hard-labels", "config": {"x" * 129: 1}}}, None, ("InvalidSpec", "at most 128 characters")),
    "an object as a task's parameter": (
        {"task": {"name": "chat", "params": {"n": {}}}}, None, ("InvalidSpec", "spec.task.params.n")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(home: Home, case: str) -> None:
    spec, answer, (reason, words) = REFUSALS[case]
    name = f"x{list(REFUSALS).index(case)}"
    if answer is not None:
        home.hub.refuse[name] = answer
    assert home.api.create(world.experiment(home.space, name, **spec)).is_success
    home.until(lambda: phase(home.experiment(name)) == "Failed")
    told = condition(home.experiment(name), "Accepted")
    assert told[:2] == ("False", reason)
    assert words in told[2]
    events = [one["note"] for one in home.api.list("Event", home.space) if one["regarding"]["name"] == name]
    assert any(words in note for note in events)
    assert home.job(name) is None


def test_campaign_or_file_that_is_missing_is_waited_for(home: Home) -> None:
    home.api.create(world.experiment(home.space, "lonely", campaignRef="nobody"))
    home.api.create(world.experiment(home.space, "mapped", method={"configMap": {"name": "code"}}))
    home.until(lambda: condition(home.experiment("lonely"), "Accepted")[1] == "UnknownCampaign")
    home.until(lambda: condition(home.experiment("mapped"), "Accepted")[1] == "InvalidMethod")
    code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": home.space}}
    home.api.create(code | {"data": {"method.py": "def train(lab): ..."}})
    home.until(lambda: phase(home.experiment("mapped")) == "Complete")


DRIFT = {
    "label of a namespace": ("Namespace", None, "r0", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
    "quota": ("ResourceQuota", "r0", "sandbox", {"spec": {"hard": {"pods": "9999"}}}),
    "way out": ("NetworkPolicy", "r0", "to-hub", {"spec": {"egress": [{}]}}),
    "image of the hub": ("Deployment", "hub", "hub", {"spec": {"template": {"spec": {"containers": [{"name": "hub", "image": "evil"}]}}}}),
}  # fmt: skip


@pytest.mark.parametrize("case", DRIFT)
def test_drift_is_healed(home: Home, case: str) -> None:
    kind, where, name, patch = DRIFT[case]
    namespace = part(home.found, where) if where else None
    name = name if where else part(home.found, name)
    before = home.api.get(kind, namespace, name)
    marks = before["metadata"]["labels"]
    changed = home.api.patch(kind, namespace, name, patch).json()
    assert (changed["spec"], changed["metadata"]["labels"]) != (before["spec"], marks)

    def healed() -> bool:
        now = home.api.get(kind, namespace, name)
        return (now["spec"], now["metadata"]["labels"]) == (before["spec"], marks)

    home.until(healed)


@pytest.mark.parametrize(("kind", "name"), [("NetworkPolicy", "deny-all"), ("ResourceQuota", "sandbox")])
def test_what_is_deleted_is_made_again(home: Home, kind: str, name: str) -> None:
    home.api.delete(kind, part(home.found, "verify"), name)
    home.until(lambda: home.api.get(kind, part(home.found, "verify"), name))


def test_a_namespace_deleted_by_hand_is_made_again(home: Home) -> None:
    name = part(home.found, "verify")
    uid = home.api.get("Namespace", None, name)["metadata"]["uid"]
    home.api.delete("Namespace", None, name)

    def again() -> bool:
        now = home.api.get("Namespace", None, name)
        return now is not None and now["metadata"]["uid"] != uid and home.api.get("NetworkPolicy", name, "deny-all")

    home.until(again)
    home.until(lambda: phase(home.api.get("ResearchCampaign", home.space, "c")) == "Researching")


def test_hub_keeps_its_address(home: Home) -> None:
    namespace = part(home.found, "hub")
    before = home.api.get("Service", namespace, "hub")
    home.until(lambda: "aar.dev/hub-address" in home.api.get("Namespace", None, namespace)["metadata"]["annotations"])
    home.api.delete("Service", namespace, "hub")
    home.until(lambda: home.api.get("Service", namespace, "hub"))
    after = home.api.get("Service", namespace, "hub")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]


def test_pods_know_the_hub_by_its_address_and_no_names(home: Home) -> None:
    address = home.api.get("Service", part(home.found, "hub"), "hub")["spec"]["clusterIP"]
    ends_well(home, "plain")
    for job in (home.job("plain"), home.api.get("Job", part(home.found, "r0"), "researcher")):
        pod = job["spec"]["template"]["spec"]
        assert pod["hostAliases"] == [{"ip": address, "hostnames": ["hub"]}]
        assert (pod["dnsPolicy"], pod["serviceAccountName"], pod["automountServiceAccountToken"]) == (
            "None",
            "sandbox",
            False,
        )
