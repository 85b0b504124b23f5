"""Which Jobs and pods count as an experiment's: those in its campaign's namespaces, also such as the operator has not heard of."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from aar_api.campaign import parse
from aar_operator.cluster.kubernetes import KubernetesCluster
from aar_operator.plan.model import CampaignSeen
from aar_operator.reconcile import Reconciler
from aar_operator.reconcile.orphans import SWEEP_SECONDS, settle_orphans
from kube import world
from kube.behind import begun, behind
from kube.hubdouble import Hubs
from kube.inside import Inside
from kube.plane import Plane
from kube.world import Api, Kubelet, part, phase

POD = {"restartPolicy": "Never", "containers": [{"name": "post", "image": "x"}]}


def lasts(*names: str) -> Callable[[dict], int | None]:
    """The researcher and these Jobs run on, all else ends well."""
    return lambda pod: (
        None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] in ("researcher", *names) else 0
    )


def forged(space: str, found: dict, name: str, uid: str | None) -> dict:
    """A Job that anybody may make who may make one in some namespace."""
    marks = {
        "app.kubernetes.io/managed-by": "aar-operator",
        "aar.dev/campaign": "c",
        "aar.dev/campaign-namespace": space,
        "aar.dev/campaign-uid": found["metadata"]["uid"],
        "aar.dev/experiment": "e",
    } | ({} if uid is None else {"aar.dev/experiment-uid": uid})
    meta = {"name": name, "namespace": space, "labels": marks}
    spec = {"suspend": True, "template": {"metadata": {"labels": marks}, "spec": POD}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("name", "known"),
    [("e-1", False), ("e-99", True), ("odd", True)],
    ids=["as if of one that is gone", "as if the newest", "of no attempt"],
)
def test_a_job_elsewhere_says_nothing(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str, name: str, known: bool
) -> None:
    kubelet.ends = lasts("e-1")
    inside = Inside(plane.kubeconfig, space, hubs.url)
    found = begun(api, inside, space)
    uid = api.create(world.experiment(space)).json()["metadata"]["uid"]
    assert inside.live(lambda: phase(api.get("Experiment", space, "e")) == "Running", 60)
    assert api.create(forged(space, found, name, uid if known else None)).status_code == 201
    rounds = iter(range(5))
    assert inside.live(lambda: next(rounds, None) is None, 60)
    kubelet.ends = lasts()
    assert inside.live(lambda: phase(api.get("Experiment", space, "e")) == "Complete", 60)
    assert api.get("Experiment", space, "e")["status"]["jobRef"]["name"] == "e-1"
    assert [one.job_name for one in hubs.of(part(found, "hub")).settled["e"]][-1] == "e-1"
    assert api.get("Job", space, name), "what isn't ours is left alone"


def test_an_attempt_whose_job_was_deleted_by_hand_is_paid_for(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    kubelet.ends = lasts("e-1")
    inside = Inside(plane.kubeconfig, space, hubs.url)
    found = begun(api, inside, space)
    api.create(world.experiment(space))
    since: list[float] = []

    def enough() -> bool:
        pods = api.list("Pod", part(found, "r0"), "batch.kubernetes.io/job-name=e-1")
        if not since and any(one["status"].get("phase") == "Running" for one in pods):
            since.append(time.monotonic())
        if since and time.monotonic() - since[0] > 3 and api.get("Job", part(found, "r0"), "e-1"):
            api.delete("Job", part(found, "r0"), "e-1")
        return phase(api.get("Experiment", space, "e")) == "Complete"

    assert inside.live(enough, 120)
    assert api.get("Experiment", space, "e")["status"]["attempts"] == 2
    (outcome,) = hubs.of(part(found, "hub")).settled["e"][-1].indexes
    assert outcome.succeeded
    assert outcome.seconds >= 2


def test_what_the_hub_waits_for_without_an_object_is_settled(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, space: str
) -> None:
    kubelet.ends = lasts("e-1", "f-1")
    inside = Inside(plane.kubeconfig, space, hubs.url)
    hub = hubs.of(part(begun(api, inside, space), "hub"))

    def forced() -> None:
        for name in ("e", "f"):
            api.create(world.experiment(space, name))
        assert inside.live(lambda: all(phase(api.get("Experiment", space, name)) == "Running" for name in "ef"), 60)
        api.patch("Experiment", space, "e", {"metadata": {"finalizers": None}})
        api.delete("Experiment", space, "e")
        hub.admitted["asked-for"] = []

    async def look(cluster: KubernetesCluster, reconciler: Reconciler) -> None:
        await cluster.relist()
        campaign = parse(api.get("ResearchCampaign", space, "c") or {})
        line = await reconciler.pool.line(campaign)
        assert line is not None
        feed = await line.hub.feed(campaign.status.feed_cursor)
        now = datetime.now(UTC)
        behind_feed = CampaignSeen(feed=feed.model_copy(update={"cursor": feed.cursor + 1}))
        for number, seen in enumerate((behind_feed, behind_feed, CampaignSeen(), CampaignSeen(feed=feed))):
            await settle_orphans(cluster, campaign, line, seen, now + number * timedelta(seconds=SWEEP_SECONDS))
            assert hub.settled == {}, "not before everything was carried out, twice"
        hub.admitted["just-now"] = []
        later = now + 3 * timedelta(seconds=SWEEP_SECONDS)
        for seconds in (SWEEP_SECONDS / 2, SWEEP_SECONDS):
            await settle_orphans(cluster, campaign, line, CampaignSeen(feed=feed), later + timedelta(seconds=seconds))

    behind(inside, plane.kubeconfig, forced, look)
    assert {name: [one.outcome for one in told] for name, told in hub.settled.items()} == {
        "e": ["cancelled"],
        "asked-for": ["cancelled"],
    }
