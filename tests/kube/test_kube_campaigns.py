"""Campaigns on a real API server: refusals, limits of a namespace, walls, suspension, and that nothing is left of them."""

from __future__ import annotations

import base64
import json

import pytest
from aar_api import labels
from aar_api.campaign import Spend
from aar_operator.cluster.observe import job_state
from aar_operator.settings import NamespaceLimits
from kube import world
from kube.hubdouble import Hubs
from kube.inside import Faults, Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, condition, part, phase


def job_name(pod: dict) -> str:
    return pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]


def begin(api: Api, space: str, name: str = "c", **spec: object) -> dict:
    answer = api.create(world.campaign(space, name, **spec))
    assert answer.is_success, answer.text
    return answer.json()


@pytest.fixture
def inside(plane: Plane, hubs: Hubs, kubelet: Kubelet, space: str) -> Inside:
    kubelet.ends = lambda pod: None if job_name(pod) == "researcher" else 0
    return Inside(plane.kubeconfig, space, hubs.url)


def campaign(api: Api, space: str, name: str = "c") -> dict:
    return api.get("ResearchCampaign", space, name) or {}


def researching(api: Api, space: str, name: str = "c") -> bool:
    return phase(campaign(api, space, name)) == "Researching"


def test_unknown_task_is_refused_and_can_be_deleted(api: Api, inside: Inside, space: str) -> None:
    found = begin(api, space, task={"name": "unknown"})
    assert inside.live(lambda: phase(campaign(api, space)) == "Failed", 120)
    told = condition(campaign(api, space), "Accepted")
    assert told == ("False", "InvalidTask", "There is no task 'unknown': `aar tasks` lists them.")
    api.delete("ResearchCampaign", space, "c")
    assert inside.live(lambda: campaign(api, space) == {}, 120)
    assert api.get("Namespace", None, part(found, "hub")) is None


def test_malformed_campaign_is_refused(api: Api, inside: Inside, space: str) -> None:
    begin(api, space, task={"name": "chat", "params": {"head": []}})
    assert inside.live(lambda: phase(campaign(api, space)) == "Failed", 60)
    status, reason, message = condition(campaign(api, space), "Accepted")
    assert (status, reason) == ("False", "InvalidSpec")
    assert "spec.task.params.head" in message
    api.delete("ResearchCampaign", space, "c")
    assert inside.live(lambda: campaign(api, space) == {}, 60)


def test_namespace_of_somebody_else_is_not_taken_over(
    request: pytest.FixtureRequest, api: Api, inside: Inside, space: str
) -> None:
    found = begin(api, space)
    theirs = part(found, "verify")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": theirs}})
    request.addfinalizer(lambda: api.delete("Namespace", None, theirs))
    assert inside.live(lambda: phase(campaign(api, space)) == "Failed", 60)
    status, reason, message = condition(campaign(api, space), "Accepted")
    assert (status, reason, theirs in message) == ("False", "NamespaceTaken", True)
    assert "aar.dev/campaign-uid" not in api.get("Namespace", None, theirs)["metadata"]["labels"]
    api.delete("ResearchCampaign", space, "c")
    assert inside.live(lambda: campaign(api, space) == {}, 120)
    assert "deletionTimestamp" not in api.get("Namespace", None, theirs)["metadata"]
    assert spaces_of(api, found) == []


def spaces_of(api: Api, found: dict) -> list[str]:
    """Namespaces of a campaign that are not on their way out."""
    there = api.list("Namespace", selector=f"{labels.CAMPAIGN_UID}={found['metadata']['uid']}")
    return [one["metadata"]["name"] for one in there if "deletionTimestamp" not in one["metadata"]]


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_one_deleted_in_the_first_moments_leaves_nothing(
    plane: Plane, api: Api, hubs: Hubs, space: str, writes: int
) -> None:
    """The operator is killed after each of its first writes, and does not see it again before it is deleted."""
    found = begin(api, space)
    first = Inside(plane.kubeconfig, space, hubs.url, Faults(writes_left=writes))
    assert not first.live(lambda: False, 60)
    api.delete("ResearchCampaign", space, "c")
    assert Inside(plane.kubeconfig, space, hubs.url).live(lambda: campaign(api, space) == {}, 120)
    assert spaces_of(api, found) == []


def test_one_that_was_forced_out_leaves_nothing(api: Api, inside: Inside, space: str) -> None:
    found = begin(api, space)
    assert inside.live(lambda: spaces_of(api, found), 60)
    api.patch("ResearchCampaign", space, "c", {"metadata": {"finalizers": None}})
    api.delete("ResearchCampaign", space, "c")
    second = begin(api, space)
    assert inside.live(lambda: not spaces_of(api, found) and len(spaces_of(api, second)) == 4, 120)
    api.patch("ResearchCampaign", space, "c", {"metadata": {"finalizers": None}})
    api.delete("ResearchCampaign", space, "c")
    assert inside.live(lambda: not spaces_of(api, second), 120)


def test_two_campaigns_of_one_name_in_two_namespaces(
    api: Api, plane: Plane, hubs: Hubs, inside: Inside, space: str
) -> None:
    """Deleting the one leaves the other's namespaces alone; that a namespace ends is Kubernetes' business, and takes half a minute."""
    other = f"{space}-op"
    first, second = begin(api, space), begin(api, other)
    assert inside.live(lambda: researching(api, space), 120)
    assert Inside(plane.kubeconfig, other, hubs.url).live(lambda: researching(api, other), 120)
    spaces = [part(one, "hub") for one in (first, second)]
    assert len(set(spaces)) == 2
    for one, name in zip((first, second), spaces, strict=True):
        assert api.get("Namespace", None, name)["metadata"]["labels"][labels.CAMPAIGN_UID] == one["metadata"]["uid"]
    api.delete("ResearchCampaign", other, "c")
    ending = lambda one: [  # noqa: E731
        "deletionTimestamp" in found["metadata"]
        for found in api.list("Namespace", selector=f"{labels.CAMPAIGN_UID}={one['metadata']['uid']}")
    ]
    # The double ends a namespace before anybody can see it on its way.
    going = lambda: any(ending(second)) or len(ending(second)) < 4  # noqa: E731
    assert Inside(plane.kubeconfig, other, hubs.url).live(going, 120)
    assert inside.live(lambda: researching(api, space), 60)
    assert len(ending(first)) == 4
    assert not any(ending(first))


def test_researchers_come_and_go(api: Api, inside: Inside, space: str) -> None:
    found = begin(api, space)
    assert inside.live(lambda: researching(api, space), 120)
    where = part(found, "r1")
    api.patch("ResearchCampaign", space, "c", {"spec": {"researchers": {"count": 2}}})
    assert inside.live(lambda: api.get("Job", where, "researcher"), 120)
    assert job_state(api.get("Job", where, "isolation") or {}) == "succeeded"
    api.patch("ResearchCampaign", space, "c", {"spec": {"researchers": {"count": 1}}})
    assert inside.live(lambda: api.get("Job", where, "researcher") is None, 120)
    assert api.get("Job", part(found, "r0"), "researcher")


def test_what_bounds_the_hub_and_sandboxes_is_taken(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    """By the server: it refuses a policy or a LimitRange that is none."""
    known = {"provider_key": "k", "api_server": "10.96.0.1:443", "sandbox_limits": {"max": {"memory": "1Gi"}}}
    inside = Inside(plane.kubeconfig, space, hubs.url, **known)
    found = begin(api, space)
    assert inside.live(lambda: researching(api, space), 120)
    wall = api.get("NetworkPolicy", part(found, "hub"), "from-sandboxes")
    assert [one["ipBlock"]["cidr"] for one in wall["spec"]["egress"][-1]["to"]] == ["0.0.0.0/0", "::/0"]


@pytest.mark.parametrize("end", ["complete", "deleted"])
def test_token_of_the_hub_deleted_by_hand(api: Api, hubs: Hubs, inside: Inside, space: str, end: str) -> None:
    """The hub knows the token it was started with: until another hub is started with the new one, it refuses the operator."""
    found = begin(api, space)
    where = part(found, "hub")

    def rolled() -> object:
        template = (api.get("Deployment", where, "hub") or {}).get("spec", {}).get("template", {})
        return template.get("metadata", {}).get("annotations", {}).get(labels.TOKEN_DIGEST)

    def token() -> str:
        secret = api.get("Secret", where, "hub")
        return "" if secret is None else base64.b64decode(secret["data"]["operatorToken"]).decode()

    assert inside.live(lambda: researching(api, space), 120)
    hubs.of(where).token, first = token(), rolled()
    api.delete("Secret", where, "hub")
    assert inside.live(lambda: rolled() != first and token() not in ("", hubs.of(where).token), 60)
    rounds = iter(range(5))
    assert inside.live(lambda: next(rounds, None) is None, 60)
    assert phase(campaign(api, space)) == "Researching"
    if end == "deleted":
        api.delete("ResearchCampaign", space, "c")
        assert inside.live(lambda: campaign(api, space) == {}, 120)
        return
    hubs.of(where).token = token()  # as the new pod has it
    hubs.of(where).finished = ("r0",)
    assert inside.live(lambda: phase(campaign(api, space)) == "Complete", 120)


def test_a_queue_where_nothing_is_queued(api: Api, inside: Inside, space: str) -> None:
    """It would run beside the quota that its author asked to wait for."""
    found = begin(api, space, queueName="team")
    assert inside.live(lambda: condition(campaign(api, space), "Accepted")[1] == "UnknownQueue", 60)
    assert "'team'" in condition(campaign(api, space), "Accepted")[2]
    assert api.get("Namespace", None, part(found, "hub")) is None


LIMITS = {
    "campaigns": (NamespaceLimits(campaigns=1), {}, "2 campaigns, but its limit is 1"),
    "GPUs": (NamespaceLimits(gpus=3), {"experiments": {"maxGPUs": 2}}, "4 GPUs, but its limit is 3"),
    "dollars a month": (NamespaceLimits(usd_per_month="1.50"), {}, "2.00 USD in"),
}


SLOW = ("campaigns", "GPUs")
"""The rules are the planner's, tests/plan/test_plan_limits.py; one of them is enough to see that they reach a cluster."""


@pytest.mark.parametrize("case", [pytest.param(one, marks=[pytest.mark.slow] if one in SLOW else []) for one in LIMITS])
def test_limits_of_a_namespace(plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str, case: str) -> None:
    limits, spec, words = LIMITS[case]
    inside = Inside(plane.kubeconfig, space, hubs.url, namespace_limits={space: limits})
    begin(api, space, "a", **spec)
    assert inside.live(lambda: condition(campaign(api, space, "a"), "Accepted")[0] == "True", 120)
    second = begin(api, space, "b", **spec)
    assert inside.live(lambda: condition(campaign(api, space, "b"), "Accepted")[0] == "False", 60)
    _, reason, message = condition(campaign(api, space, "b"), "Accepted")
    assert (reason, words in message) == ("QuotaExceeded", True), message
    assert api.get("Namespace", None, part(second, "hub")) is None
    api.delete("ResearchCampaign", space, "a")
    assert inside.live(lambda: condition(campaign(api, space, "b"), "Accepted")[0] == "True", 180)


def test_what_deleted_campaigns_spent_still_counts(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begin(api, space, "a")
    hubs.of(part(found, "hub")).spend = Spend(total_usd="0.80")
    limits = {"*": NamespaceLimits(usd_per_month="1.50")}
    inside = Inside(plane.kubeconfig, space, hubs.url, namespace_limits=limits)
    assert inside.live(lambda: (campaign(api, space, "a").get("status") or {}).get("spendByMonth"), 120)
    api.delete("ResearchCampaign", space, "a")
    assert inside.live(lambda: campaign(api, space, "a") == {}, 180)
    book = api.get("ConfigMap", f"{space}-op", f"book.{space}")
    assert list(json.loads(book["data"][found["metadata"]["uid"]]).values()) == ["0.80"]
    begin(api, space, "b")
    assert inside.live(lambda: condition(campaign(api, space, "b"), "Accepted")[0] == "False", 60)
    assert "1.80 USD in" in condition(campaign(api, space, "b"), "Accepted")[2]


@pytest.mark.parametrize("isolation", ["Required", "Reported"])
def test_open_walls(plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, isolation: str) -> None:
    kubelet.ends = lambda pod: {"researcher": None, "isolation": labels.EXIT_NOT_ISOLATED}.get(job_name(pod), 0)
    inside = Inside(plane.kubeconfig, space, hubs.url, isolation=isolation)
    found = begin(api, space)
    assert inside.live(lambda: condition(campaign(api, space), "NetworkIsolated")[0] == "False", 120)
    _, reason, message = condition(campaign(api, space), "NetworkIsolated")
    assert (reason, "sandboxes are not closed" in message) == ("ProbeConnected", True)
    if isolation == "Reported":
        assert inside.live(lambda: researching(api, space), 60)
        return
    rounds = iter(range(10))
    assert inside.live(lambda: next(rounds, None) is None, 60)
    assert api.get("Job", part(found, "r0"), "researcher") is None
    assert phase(campaign(api, space)) == "Preparing"
