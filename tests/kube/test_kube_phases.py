"""Campaigns in every phase: suspended and resumed, deleted; out of money; and with quotas that have no room for what they need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aar_api import labels
from aar_operator.cluster import Ref
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.inside import Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, condition, part, phase


def name_of(pod: dict) -> str:
    """Of its Job."""
    return str(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])


@pytest.fixture
def inside(plane: Plane, hubs: Hubs, kubelet: Kubelet, space: str) -> Inside:
    kubelet.ends = lambda pod: None if name_of(pod) in ("researcher", "held-1") else 0
    return Inside(plane.kubeconfig, space, hubs.url)


def begin(api: Api, hubs: Hubs, space: str, name: str = "c", **spec: object) -> tuple[dict, OneHub]:
    answer = api.create(world.campaign(space, name, **spec))
    assert answer.is_success, answer.text
    return answer.json(), hubs.of(part(answer.json(), "hub"))


def campaign(api: Api, space: str, name: str = "c") -> dict:
    return api.get("ResearchCampaign", space, name) or {}


def set_up(hub: OneHub, wanted: str) -> None:
    """Have a campaign come to a phase and stay there."""
    hub.down = wanted == "Pending"
    hub.prepared = wanted not in ("Pending", "Preparing")
    hub.verified = wanted != "Verifying"
    hub.finished = ("r0",) if wanted in ("Verifying", "Complete") else ()
    hub.failed = "No weak labels can be made." if wanted == "Failed" else ""


SUSPENDED_AS = {
    "Pending": "Pending",
    "Preparing": "Suspended",
    "Researching": "Suspended",
    "Verifying": "Suspended",
    "Complete": "Complete",
}
"""Before the hub answers there is nothing to stop, and after the end neither."""


def test_suspended_in_each_phase_and_resumed(api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    found, hub = begin(api, hubs, space)
    job = lambda: api.get("Job", part(found, "r0"), "researcher") or {}  # noqa: E731

    def come_to(wanted: str, generation: int) -> None:
        def there() -> bool:
            now = campaign(api, space)
            known = wanted == "Complete" or now.get("status", {}).get("observedGeneration") == generation
            return known and phase(now) == wanted

        assert inside.live(there, 120)

    generation, uids = 1, set()
    for wanted, seen in SUSPENDED_AS.items():
        set_up(hub, wanted)
        come_to(wanted, generation)
        for suspend, then in ((True, seen), (False, wanted)):
            assert api.patch("ResearchCampaign", space, "c", {"spec": {"suspend": suspend}}).is_success
            generation += 1
            come_to(then, generation)
            if wanted == "Researching":
                stopped = lambda suspend=suspend: job().get("spec", {}).get("suspend", False) is suspend  # noqa: E731
                assert inside.live(lambda stopped=stopped: job() and stopped(), 60)
                uids.add(job()["metadata"]["uid"])
    assert len(uids) == 1, "the researcher's Job was stopped and went on, not made anew"
    assert condition(campaign(api, space), "Suspended")[:2] == ("False", "Resumed")


PHASES = ("Pending", "Preparing", "Researching", "Suspended", "Verifying", "Complete", "Failed")


def test_deleted_in_each_phase_leaves_nothing(api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    """One campaign a phase, all deleted at once; each with an experiment that ended before, where one could."""
    found = {}
    for wanted in PHASES:
        name = wanted.lower()
        found[wanted], hub = begin(api, hubs, space, name, suspend=wanted == "Suspended")
        set_up(hub, wanted if wanted != "Complete" else "Researching")
        api.create(world.experiment(space, f"e-{name}", campaignRef=name))
    assert inside.live(lambda: phase(api.get("Experiment", space, "e-complete")) == "Complete", 180)
    set_up(hubs.of(part(found["Complete"], "hub")), "Complete")
    seen = lambda: {wanted: phase(campaign(api, space, wanted.lower())) for wanted in PHASES}  # noqa: E731
    assert inside.live(lambda: seen() == {wanted: wanted for wanted in PHASES}, 180), seen()
    for wanted in PHASES:
        api.delete("ResearchCampaign", space, wanted.lower())
    assert inside.live(lambda: api.list("ResearchCampaign", space) == [], 240)
    assert api.list("Experiment", space) == []
    for one in found.values():
        assert api.list("Namespace", selector=f"{labels.CAMPAIGN_UID}={one['metadata']['uid']}") == []


def test_a_hub_that_answers_again_wakes_the_experiments(api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    """They look for it themselves only now and then."""
    _, hub = begin(api, hubs, space)
    assert inside.live(lambda: phase(campaign(api, space)) == "Researching", 120)
    hub.down = True
    assert inside.live(lambda: condition(campaign(api, space), "Ready")[1] == "HubPending", 60)
    api.create(world.experiment(space, "e"))
    assert inside.live(lambda: phase(api.get("Experiment", space, "e")) == "Pending", 60)
    inside.woken.clear()
    hub.down = False
    assert inside.live(lambda: phase(api.get("Experiment", space, "e")) == "Complete", 120)
    assert Ref("Experiment", space, "e") in inside.woken


@pytest.mark.parametrize("then", ["Stop", "Suspend"])
def test_money_runs_out_while_an_experiment_runs(
    api: Api, hubs: Hubs, inside: Inside, kubelet: Kubelet, space: str, then: str
) -> None:
    found, hub = begin(api, hubs, space, budget={"limitUSD": "1", "onExceeded": then})
    assert inside.live(lambda: phase(campaign(api, space)) == "Researching", 120)
    api.create(world.experiment(space, "held"))
    assert inside.live(lambda: phase(api.get("Experiment", space, "held")) == "Running", 120)
    hub.purse_empty = True
    hub.refuse["late"] = ("wait", "WaitingForBudget", "It needs 1 USD, but nothing is left.")
    assert inside.live(lambda: condition(campaign(api, space), "BudgetAvailable")[:2] == ("False", "Exhausted"), 60)
    assert phase(campaign(api, space)) == "Researching", "what was paid for goes on"
    kubelet.ends = lambda pod: None if name_of(pod) == "researcher" else 0
    assert inside.live(lambda: phase(api.get("Experiment", space, "held")) == "Complete", 60)
    if then == "Stop":
        assert inside.live(lambda: phase(campaign(api, space)) == "Complete", 60)
        assert condition(campaign(api, space), "Complete")[1] == "BudgetExhausted"
        assert inside.live(lambda: api.get("Job", part(found, "r0"), "researcher") is None, 60)
        return
    api.create(world.experiment(space, "late"))
    assert inside.live(
        lambda: condition(api.get("Experiment", space, "late"), "BudgetReserved")[1] == "WaitingForBudget", 60
    )
    assert phase(campaign(api, space)) == "Researching"
    del hub.refuse["late"]
    hub.purse_empty = False
    assert inside.live(lambda: phase(api.get("Experiment", space, "late")) == "Complete", 60)
    assert condition(campaign(api, space), "BudgetAvailable")[0] == "True"


def with_quota(plane: Plane, hubs: Hubs, space: str, **hard: str) -> Inside:
    return Inside(
        plane.kubeconfig, space, hubs.url, sandbox_quota={key.replace("__", "/"): n for key, n in hard.items()}
    )


def test_a_quota_refuses_a_pod(plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str) -> None:
    """There is room for the researcher and one more: the seeds run one after another."""
    inside = with_quota(plane, hubs, space, pods="2")
    kubelet.ends = lambda pod: None if name_of(pod) in ("researcher", "e-1") else 0
    found, _ = begin(api, hubs, space)
    assert inside.live(lambda: phase(campaign(api, space)) == "Researching", 120)
    assert inside.live(lambda: api.list("Pod", part(found, "r0"), "batch.kubernetes.io/job-name=researcher"), 60)
    api.create(world.experiment(space, seeds=2))
    pods = lambda: api.list("Pod", part(found, "r0"), "batch.kubernetes.io/job-name=e-1")  # noqa: E731
    assert inside.live(lambda: len(pods()) == 1 and phase(api.get("Experiment", space, "e")) == "Running", 60)
    kubelet.ends = lambda pod: None if name_of(pod) == "researcher" else 0
    assert inside.live(lambda: phase(api.get("Experiment", space, "e")) == "Complete", 120)
    seeds = api.get("Experiment", space, "e")["status"]["seeds"]
    assert [one["state"] for one in seeds] == ["Succeeded", "Succeeded"]


REFUSALS: dict[str, tuple[dict[str, str], Callable[[Api, str], tuple[str, str, str]], str]] = {
    "a Secret of a researcher": ({"secrets": "0"}, lambda api, space: condition(campaign(api, space), "Ready"), "secrets=1"),
    "the Job of an experiment": ({"count__jobs.batch": "2"}, lambda api, space: warned(api, space, "e"), "count/jobs.batch=1"),
}  # fmt: skip


def warned(api: Api, space: str, name: str) -> tuple[str, str, str]:
    for one in api.list("Event", space):
        if one["regarding"]["name"] == name and one["type"] == "Warning":
            return "False", one["reason"], one["note"]
    return "", "", ""


@pytest.mark.parametrize("case", REFUSALS)
def test_a_quota_refuses_an_object(plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, case: str) -> None:
    """It says which quota, and goes on once there is room: an administrator gave the operator a larger one."""
    hard, told, words = REFUSALS[case]
    kubelet.ends = lambda pod: None if name_of(pod) == "researcher" else 0
    found, _ = begin(api, hubs, space)
    tight = with_quota(plane, hubs, space, **hard)
    if case == "the Job of an experiment":
        assert tight.live(lambda: api.get("Job", part(found, "r0"), "researcher"), 120)
    api.create(world.experiment(space))
    assert tight.live(lambda: "exceeded quota: sandbox" in told(api, space)[2], 120), told(api, space)
    assert (told(api, space)[:2], words in told(api, space)[2]) == (("False", "ClusterRefused"), True)
    assert with_quota(plane, hubs, space, **dict.fromkeys(hard, "50")).live(
        lambda: phase(api.get("Experiment", space, "e")) == "Complete", 120
    )
