"""Changes of a campaign that runs: what is refused of them harms nothing, and what is suspended or resumed counts all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aar_api.campaign import Spend
from aar_operator.manifests import book as books
from aar_operator.settings import NamespaceLimits
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.inside import Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, condition, part, phase


def job_name(pod: dict) -> str:
    return str(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])


@pytest.fixture
def inside(plane: Plane, hubs: Hubs, kubelet: Kubelet, space: str) -> Inside:
    kubelet.ends = lambda pod: None if job_name(pod) in ("researcher", "held-1") else 0
    limits = {"*": NamespaceLimits(usd_per_month="1.50")}
    return Inside(plane.kubeconfig, space, hubs.url, namespace_limits=limits)


def campaign(api: Api, space: str) -> dict:
    return api.get("ResearchCampaign", space, "c") or {}


def begin(api: Api, hubs: Hubs, inside: Inside, space: str, **spec: Any) -> tuple[dict, OneHub]:
    """A campaign that researches."""
    found = api.create(world.campaign(space, **spec)).json()
    assert inside.live(lambda: phase(campaign(api, space)) == "Researching", 120)
    return found, hubs.of(part(found, "hub"))


def change(api: Api, space: str, **spec: Any) -> int:
    """Change the spec; the new generation."""
    answer = api.patch("ResearchCampaign", space, "c", {"spec": spec})
    assert answer.is_success, answer.text
    return int(answer.json()["metadata"]["generation"])


def comes_to(api: Api, inside: Inside, space: str, wanted: str, generation: int) -> None:
    def there() -> bool:
        now = campaign(api, space)
        return phase(now) == wanted and now["status"].get("observedGeneration") == generation

    assert inside.live(there, 120), campaign(api, space).get("status")


MORE = {"researchers": {"count": 2}, "experiments": {"parallelism": 9}}
UNTAKEN: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "refused by the hub": (
        {"evaluation": {"transferTasks": [{"name": "unknown"}]}}, {"evaluation": {"transferTasks": []}}, "InvalidTask", "no task 'unknown'"),
    "malformed": (
        {"evaluation": {"transferTasks": [{"name": "x", "params": {"a": []}}]}}, {"evaluation": {"transferTasks": []}},
        "InvalidSpec", "spec.evaluation.transferTasks.0.params.a"),
    "more than the namespace has": (
        {"budget": {"limitUSD": "2"}}, {"budget": {"limitUSD": "1"}}, "QuotaExceeded", "2.00 USD in"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTAKEN)
def test_a_change_that_is_not_taken_harms_nothing(api: Api, hubs: Hubs, inside: Inside, space: str, case: str) -> None:
    wrong, right, reason, words = UNTAKEN[case]
    found, hub = begin(api, hubs, inside, space, experiments={"parallelism": 1})
    job = lambda: api.get("Job", part(found, "r0"), "researcher") or {}  # noqa: E731
    experiment = lambda name: phase(api.get("Experiment", space, name))  # noqa: E731
    api.create(world.experiment(space, "held"))
    assert inside.live(lambda: experiment("held") == "Running" and job(), 120)
    uid = job()["metadata"]["uid"]

    comes_to(api, inside, space, "Researching", change(api, space, **MORE | wrong))
    told = condition(campaign(api, space), "Accepted")
    assert told[:2] == ("True", reason)
    assert words in told[2]
    assert any(words in one["note"] for one in api.list("Event", space) if one["regarding"]["name"] == "c")
    assert campaign(api, space)["status"]["inForce"] == {"limitUSD": "1", "maxGPUs": 0}
    api.create(world.experiment(space, "second"))
    assert inside.live(lambda: experiment("second") == "Queued", 60), "the parallelism in force is 1"
    assert api.get("Namespace", None, part(found, "r1")) is None
    assert campaign(api, space)["status"]["researchers"]["desired"] == 1

    for suspend, then in ((True, "Suspended"), (False, "Researching")):
        comes_to(api, inside, space, then, change(api, space, suspend=suspend))
        assert condition(campaign(api, space), "Accepted")[:2] == ("True", reason)
        assert inside.live(lambda suspend=suspend: job()["spec"].get("suspend", False) is suspend, 60)
        assert hub.opening is not None
        assert (hub.opening.spec.suspend, hub.opening.spec.experiments.parallelism) == (suspend, 1)
    assert experiment("held") == "Running"
    assert job()["metadata"]["uid"] == uid
    assert not hub.settled

    comes_to(api, inside, space, "Researching", change(api, space, **right))
    assert condition(campaign(api, space), "Accepted")[:2] == ("True", "Valid")
    assert inside.live(
        lambda: experiment("second") == "Complete" and api.get("Namespace", None, part(found, "r1")), 120
    )


def test_a_malformed_one_that_is_deleted_is_entered_in_the_book(
    api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found, hub = begin(api, hubs, inside, space)
    api.create(world.experiment(space, "held"))
    assert inside.live(lambda: phase(api.get("Experiment", space, "held")) == "Running", 120)
    hub.spend = Spend(total_usd="0.80")
    comes_to(api, inside, space, "Researching", change(api, space, **UNTAKEN["malformed"][0]))
    assert inside.live(lambda: campaign(api, space)["status"].get("spendByMonth"), 60), "it is counted on"
    this_month = next(iter(campaign(api, space)["status"]["spendByMonth"]))
    earlier = {"long-gone": '{"2020-01": "1.00"}', "another": json.dumps({this_month: "0.10"})}
    assert api.create(books.build(space, inside.settings) | {"data": earlier}).status_code == 201
    api.delete("ResearchCampaign", space, "c")
    assert inside.live(lambda: campaign(api, space) == {}, 180)
    assert [one.outcome for one in hub.settled["held"]][-1:] == ["cancelled"]
    book = api.get("ConfigMap", f"{space}-op", f"book.{space}")
    assert book is not None
    assert set(book["data"]) == {"another", found["metadata"]["uid"]}, "a sum is made of the present month"
    assert list(json.loads(book["data"][found["metadata"]["uid"]]).values()) == ["0.80"]


def test_what_a_malformed_one_has_is_taken(plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    begin(api, hubs, inside, space)
    comes_to(api, inside, space, "Researching", change(api, space, **UNTAKEN["malformed"][0]))
    api.create(world.campaign(space, "b"))
    accepted = lambda: condition(api.get("ResearchCampaign", space, "b"), "Accepted")  # noqa: E731
    assert inside.live(lambda: accepted()[0], 60)
    assert accepted()[:2] == ("False", "QuotaExceeded")


STRANGE: dict[str, tuple[int, dict[str, object], str]] = {
    "another token": (401, {"reason": "Unauthorized", "message": "The token is not one of this hub's."}, "not one of this hub's"),
    "an older hub that does not know a field": (
        422, {"reason": "InvalidRequest", "message": "spec.colour: Extra inputs are not permitted."}, "spec.colour"),
    "an answer of another version": (200, {"colour": "blue"}, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("begun", [False, True], ids=["before it is accepted", "later"])
@pytest.mark.parametrize("case", STRANGE)
def test_a_hub_that_answers_strangely_is_waited_for_and_mended(
    api: Api, hubs: Hubs, inside: Inside, space: str, case: str, begun: bool
) -> None:
    status, body, words = STRANGE[case]
    if begun:
        found, hub = begin(api, hubs, inside, space)
    else:
        found = api.create(world.campaign(space)).json()
        hub = hubs.of(part(found, "hub"))
    hub.answers = status, body
    ready = lambda: condition(campaign(api, space), "Ready")  # noqa: E731
    assert inside.live(lambda: ready()[1] == "HubPending" and words in ready()[2], 60), ready()
    assert phase(campaign(api, space)) == ("Researching" if begun else "Pending")
    namespace = part(found, "hub")
    api.delete("Deployment", namespace, "hub")
    assert inside.live(lambda: api.get("Deployment", namespace, "hub"), 60)
    hub.answers = None
    assert inside.live(lambda: condition(campaign(api, space), "Ready")[1] == "ResearchersRunning", 120)


def test_one_that_was_refused_and_corrected_has_not_failed(api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    transfer = lambda name: {"evaluation": {"transferTasks": [{"name": name}]}}  # noqa: E731
    api.create(world.campaign(space, **transfer("unknown")))
    assert inside.live(lambda: condition(campaign(api, space), "Failed")[0] == "True", 120)
    assert "completionTime" in campaign(api, space)["status"]
    comes_to(api, inside, space, "Researching", change(api, space, **transfer("chat")))
    assert condition(campaign(api, space), "Failed")[0] == "False"
    assert "completionTime" not in campaign(api, space)["status"]


def test_a_change_after_the_end_is_observed(api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    _, hub = begin(api, hubs, inside, space)
    hub.finished = ("r0",)
    assert inside.live(lambda: phase(campaign(api, space)) == "Complete", 120)
    comes_to(api, inside, space, "Complete", change(api, space, referenceLines=[{"name": "human", "pgr": "0.23"}]))
