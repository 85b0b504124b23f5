"""An operator that has not heard of everything does nothing that could not be undone: of two replicas one may lead at any moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from aar_api.experiment import stored
from aar_api.wire import FeedEvent
from aar_operator.cluster import Conflict, Ref, Unavailable
from aar_operator.cluster.client import Client
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.cluster.lease import Lease, LeaseLost
from aar_operator.handlers.operator import Operator
from aar_operator.metrics import Metrics
from aar_operator.reconcile import Reconciler
from aar_operator.reconcile.jobs import Jobs
from kube import world
from kube.behind import begun, behind, heard
from kube.hubdouble import Hubs
from kube.inside import Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, condition, part, phase

CAMPAIGN, EXPERIMENT = "ResearchCampaign", "Experiment"


RUN_ON = ("researcher", "a-1", "b-1", "e-1")
"""Jobs; all others end well."""


@pytest.fixture
def inside(plane: Plane, hubs: Hubs, kubelet: Kubelet, space: str) -> Inside:
    """The operator that leads."""
    kubelet.ends = lambda pod: None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] in RUN_ON else 0
    return Inside(plane.kubeconfig, space, hubs.url)


def status(api: Api, space: str) -> dict:
    return (api.get(CAMPAIGN, space, "c") or {}).get("status", {})


def runs(api: Api, inside: Inside, space: str) -> None:
    """Have another operator begin an experiment."""
    api.create(world.experiment(space))
    assert inside.live(lambda: phase(api.get("Experiment", space, "e")) == "Running", 60)


def test_one_that_has_not_heard_of_a_job_makes_no_second_one(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        cluster.saw("ADDED", api.get("Experiment", space, "e") or {})
        await reconciler.reconcile(Ref("Experiment", space, "e"))

    behind(inside, plane.kubeconfig, lambda: runs(api, inside, space), look)
    assert api.get("Job", part(found, "r0"), "e-2") is None
    assert len(hubs.of(part(found, "hub")).admitted["e"]) == 1


def test_one_that_has_not_heard_of_an_experiment_leaves_its_job(
    plane: Plane, api: Api, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        cluster.saw("ADDED", api.get("Job", part(found, "r0"), "e-1") or {})
        await reconciler.reconcile(Ref("Experiment", space, "e"))

    behind(inside, plane.kubeconfig, lambda: runs(api, inside, space), look)
    job = api.get("Job", part(found, "r0"), "e-1")
    assert job is not None
    assert "deletionTimestamp" not in job["metadata"]


def test_one_that_was_deleted_unheard_of_is_not_admitted(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        cluster.saw("ADDED", api.create(world.experiment(space)).json())
        api.delete("Experiment", space, "e")
        with pytest.raises(Conflict):
            await reconciler.reconcile(Ref("Experiment", space, "e"))
        await reconciler.reconcile(Ref("Experiment", space, "e"))

    behind(inside, plane.kubeconfig, lambda: None, look)
    assert hubs.of(part(found, "hub")).admitted == {}
    assert api.get("Job", part(found, "r0"), "e-1") is None


async def led(operator: Operator, enough: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """A term that ends when it is enough."""

    async def acquire(_: Lease) -> None:
        """Nobody else has it."""

    async def keep(_: Lease) -> None:
        while not await asyncio.to_thread(enough):
            await operator.cluster.relist()
            await asyncio.sleep(0.2)
        raise LeaseLost("Enough.")

    monkeypatch.setattr(Lease, "acquire", acquire)
    monkeypatch.setattr(Lease, "keep", keep)
    await operator._term()


def test_a_later_term_plans_by_what_the_hub_took_last(
    plane: Plane, api: Api, inside: Inside, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not by what it took in an earlier term, nor by the last edit, which is none that it takes."""
    found = api.create(world.campaign(space)).json()
    second = part(found, "r1")

    def another_leads() -> None:
        api.patch(CAMPAIGN, space, "c", {"spec": {"researchers": {"count": 2}}})
        assert inside.live(lambda: api.get("Job", second, "researcher"), 120)
        transfer = [{"name": "x", "params": {"a": []}}]
        changed = api.patch(CAMPAIGN, space, "c", {"spec": {"evaluation": {"transferTasks": transfer}}})
        assert changed.is_success, changed.text

    def accepted() -> str:
        return condition(api.get(CAMPAIGN, space, "c"), "Accepted")[2]

    async def terms() -> None:
        client = await Client.connect(kubeconfig=str(plane.kubeconfig))
        operator = Operator(inside.settings, client, Metrics())
        try:
            await led(operator, lambda: status(api, space).get("phase") == "Researching", monkeypatch)
            await asyncio.to_thread(another_leads)
            await led(operator, lambda: "without the last change" in accepted(), monkeypatch)
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(terms(), 240))
    job = api.get("Job", second, "researcher")
    assert job is not None
    assert "deletionTimestamp" not in job["metadata"]


@pytest.mark.parametrize("unheard", ["Experiment", "Namespace", "Service"])
def test_a_deleted_campaign_is_held_until_the_server_says_that_nothing_is_left(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str, unheard: str
) -> None:
    found = begun(api, inside, space)
    runs(api, inside, space)
    api.delete(CAMPAIGN, space, "c")

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        for _ in range(2):
            await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))
            cluster.saw("MODIFIED", api.get(EXPERIMENT, space, "e") or {})
            await reconciler.reconcile(Ref(EXPERIMENT, space, "e"))

    heard(inside, plane.kubeconfig, lambda one: one["kind"] in ("Experiment", unheard), look)
    there = api.get(CAMPAIGN, space, "c")
    assert there is not None
    assert there["metadata"]["finalizers"]
    assert [one.outcome for one in hubs.of(part(found, "hub")).settled["e"]] == ["cancelled"]


def test_a_deleted_experiment_is_settled_though_its_campaign_is_unheard_of(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)
    runs(api, inside, space)
    api.delete(EXPERIMENT, space, "e")

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        await reconciler.reconcile(Ref(EXPERIMENT, space, "e"))
        assert api.get(EXPERIMENT, space, "e"), "it is held"
        await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))
        await reconciler.reconcile(Ref(EXPERIMENT, space, "e"))

    heard(inside, plane.kubeconfig, lambda one: one["kind"] in (CAMPAIGN, "Service", "Secret"), look)
    assert [one.outcome for one in hubs.of(part(found, "hub")).settled["e"]] == ["cancelled"]


def test_what_waits_moves_up_when_one_before_it_has_vanished(
    plane: Plane, api: Api, inside: Inside, space: str
) -> None:
    begun(api, inside, space, experiments={"parallelism": 1})

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        for name in "ab":
            cluster.saw("ADDED", api.create(world.experiment(space, name)).json())
        await reconciler.reconcile(Ref(EXPERIMENT, space, "b"))
        assert phase(api.get(EXPERIMENT, space, "b")) == "Queued"
        api.delete(EXPERIMENT, space, "a")
        with pytest.raises(Conflict):
            await reconciler.reconcile(Ref(EXPERIMENT, space, "a"))
        outcome = await reconciler.reconcile(Ref(EXPERIMENT, space, "a"))
        assert outcome.wake == (Ref(EXPERIMENT, space, "b"),)
        assert (await reconciler.reconcile(Ref(EXPERIMENT, space, "a"))).wake == (), "once"

    behind(inside, plane.kubeconfig, lambda: None, look)


def test_what_ran_is_paid_though_its_job_is_unheard_of(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    """Another replica made it, whose status is unheard of too."""
    found = begun(api, inside, space)
    runs(api, inside, space)
    ran = lambda: [one for one in api.list("Pod", part(found, "r0")) if one["status"].get("phase") == "Running"]  # noqa: E731
    assert inside.live(lambda: any("e-1" in one["metadata"]["name"] for one in ran()), 60)
    api.patch(EXPERIMENT, space, "e", {"spec": {"desiredState": "Cancelled"}})
    assert api.patch(EXPERIMENT, space, "e", {"status": None}, "status").is_success
    time.sleep(1.5)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))
        await reconciler.reconcile(Ref(EXPERIMENT, space, "e"))

    heard(inside, plane.kubeconfig, lambda one: one["kind"] in ("Job", "Pod"), look)
    (told,) = hubs.of(part(found, "hub")).settled["e"]
    assert (told.outcome, told.job_name) == ("cancelled", "e-1")
    assert told.indexes[0].seconds > 0


def test_what_ran_is_paid_though_no_answer_to_its_making_came(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = begun(api, inside, space)
    ref = Ref(EXPERIMENT, space, "e")
    sends = Client.call

    async def lost(self, method, path, *more, **query):
        got = await sends(self, method, path, *more, **query)
        if (method, path.rsplit("/", 1)[1]) == ("POST", "jobs"):
            raise Unavailable("The connection is lost.")
        return got

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        api.create(world.experiment(space, "first", desiredState="Cancelled"))
        cluster.saw("ADDED", api.get(EXPERIMENT, space, "first") or {})
        await reconciler.reconcile(Ref(EXPERIMENT, space, "first"))  # so that the server has said which Jobs there are
        cluster.saw("ADDED", api.create(world.experiment(space)).json())
        with monkeypatch.context() as patch:
            patch.setattr(Client, "call", lost)
            with pytest.raises(Unavailable):
                await reconciler.reconcile(ref)
        assert api.get("Job", part(found, "r0"), "e-1")
        changed = api.patch(EXPERIMENT, space, "e", {"spec": {"desiredState": "Cancelled"}}).json()
        cluster.saw("MODIFIED", changed)
        await reconciler.reconcile(ref)

    behind(inside, plane.kubeconfig, lambda: None, look)
    (told,) = hubs.of(part(found, "hub")).settled["e"]
    assert (told.outcome, told.job_name) == ("cancelled", "e-1")


def test_a_job_is_believed_though_its_namespace_is_unheard_of(
    plane: Plane, api: Api, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)
    runs(api, inside, space)
    where = part(found, "r0")

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        jobs, one = Jobs(cluster), stored(api.get(EXPERIMENT, space, "e") or {})
        found = [await jobs.of(one, None, datetime.now(UTC))]
        await jobs.reread(one)
        found.append(await jobs.of(one, None, datetime.now(UTC)))
        assert [attempts.number for attempts in found] == [0, 1]

    heard(inside, plane.kubeconfig, lambda one: one["kind"] == "Job" or one["metadata"]["name"] == where, look)


def test_research_is_not_ended_over_an_experiment_that_is_unheard_of(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)
    runs(api, inside, space)
    hub = hubs.of(part(found, "hub"))
    hub.finished = ("r0",)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))

    heard(inside, plane.kubeconfig, lambda one: one["kind"] == EXPERIMENT, look)
    assert hub.stage == "researching"
    assert "researchEndReason" not in status(api, space)


def test_a_hub_is_given_no_earlier_spec(plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str) -> None:
    found = begun(api, inside, space)
    hub = hubs.of(part(found, "hub"))

    def another_leads() -> None:
        api.patch(CAMPAIGN, space, "c", {"spec": {"budget": {"limitUSD": "7.00"}}})
        assert inside.live(lambda: hub.opening and str(hub.opening.spec.budget.limit_usd) == "7.00", 60)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        await reconciler.close()
        with pytest.raises(Conflict):
            await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))
        assert hub.opening is not None
        assert str(hub.opening.spec.budget.limit_usd) == "7.00"
        await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))

    behind(inside, plane.kubeconfig, another_leads, look)
    assert str(status(api, space)["inForce"]["limitUSD"]) == "7.00"


def test_a_held_experiment_that_was_forced_away_keeps_no_job(
    plane: Plane, api: Api, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        one = world.experiment(space)
        one["metadata"]["finalizers"] = ["aar.dev/cleanup"]
        cluster.saw("ADDED", api.create(one).json())
        api.patch(EXPERIMENT, space, "e", {"metadata": {"finalizers": None}})
        api.delete(EXPERIMENT, space, "e")
        ref = Ref(EXPERIMENT, space, "e")
        await reconciler.reconcile(ref)
        assert api.get("Job", part(found, "r0"), "e-1")
        with pytest.raises(Conflict):
            await reconciler.reconcile(ref)
        await reconciler.reconcile(ref)

    behind(inside, plane.kubeconfig, lambda: None, look)
    job = api.get("Job", part(found, "r0"), "e-1")
    assert job is None or "deletionTimestamp" in job["metadata"]


def test_a_name_that_somebody_has_concerns_one_experiment(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    """The hub hears that it is cancelled; what has the name is left alone, and all else goes on."""
    found = begun(api, inside, space)
    hub = hubs.of(part(found, "hub"))
    api.create(world.experiment(space, "c-1", campaignRef="another"))
    asked = {"campaignRef": "c", "method": {"builtin": "hard-labels"}}
    hub.ask_for("c-1", asked)
    hub.events.append(FeedEvent(cursor=2, kind="cancel-requested", experiment="c-1"))
    hub.ask_for("c-2", asked)
    assert inside.live(lambda: status(api, space).get("feedCursor") == 3, 60)
    hub.events.append(FeedEvent(cursor=4, kind="cancel-requested", experiment="c-1"))
    assert inside.live(lambda: phase(api.get(EXPERIMENT, space, "c-2")) == "Complete", 60)
    assert [one.outcome for one in hub.settled["c-1"]][-1] == "cancelled"
    spec = api.get(EXPERIMENT, space, "c-1")["spec"]
    assert (spec["campaignRef"], spec.get("desiredState", "Active")) == ("another", "Active")
    assert inside.live(lambda: status(api, space)["feedCursor"] == 4, 60)
    assert condition(api.get(CAMPAIGN, space, "c"), "Ready")[0] == "True"
    told = [one["note"] for one in api.list("Event", space) if one["reason"] == "NameTaken"]
    assert len(told) == 1
    assert f"Experiment {space}/c-1" in told[0]


def test_a_name_is_free_when_what_had_it_is_gone_unheard_of(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space)
    hub = hubs.of(part(found, "hub"))
    api.create(world.experiment(space, "c-1", campaignRef="another"))

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        cluster.saw("ADDED", api.get(EXPERIMENT, space, "c-1") or {})
        api.delete(EXPERIMENT, space, "c-1")
        hub.ask_for("c-1", {"campaignRef": "c", "method": {"builtin": "hard-labels"}})
        await reconciler.reconcile(Ref(CAMPAIGN, space, "c"))

    behind(inside, plane.kubeconfig, lambda: None, look)
    assert "c-1" not in hub.settled
    assert api.get(EXPERIMENT, space, "c-1")["spec"]["campaignRef"] == "c"


def test_a_campaign_is_not_deleted_at_a_time_that_was_changed(
    plane: Plane, api: Api, hubs: Hubs, inside: Inside, space: str
) -> None:
    found = begun(api, inside, space, ttlSecondsAfterFinished=1)
    hubs.of(part(found, "hub")).failed = "The task cannot be built."

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        ref = Ref(CAMPAIGN, space, "c")
        while status(api, space).get("phase") != "Failed":
            await cluster.relist()
            await reconciler.reconcile(ref)
        api.patch(CAMPAIGN, space, "c", {"spec": {"ttlSecondsAfterFinished": 3600}})
        await asyncio.sleep(2)
        with pytest.raises(Conflict):
            await reconciler.reconcile(ref)
        await reconciler.reconcile(ref)

    behind(inside, plane.kubeconfig, lambda: None, look)
    there = api.get(CAMPAIGN, space, "c")
    assert there is not None
    assert "deletionTimestamp" not in there["metadata"]
