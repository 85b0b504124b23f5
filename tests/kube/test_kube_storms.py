"""The operator as a process whose API server has a bad day, answer by answer or altogether: it comes to the same end, and nothing is made twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from kube import world
from kube.hubdouble import Hubs
from kube.plane import Plane, Processes
from kube.storm import Weather, blowing
from kube.world import Api, Kubelet, OperatorProcess, part, phase, until

ASKED = {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "submittedBy": {"researcher": "r0", "key": "1"}}
RARE_LISTS = {"AAR_RELIST_SECONDS": "3600"}
WEATHERS: dict[str, tuple[Weather, tuple[str, ...], dict[str, str]]] = {
    "requests that fail": (Weather(every=6, conflict_every=5), ("409", "429", "500", "503", "504"), {}),
    "watches that break or are too late": (Weather(watch_seconds=0.7, gone_every=3), ("cut", "410"), RARE_LISTS),
    "watches that lose every end": (Weather(deaf=True), ("deletion",), RARE_LISTS),
}


def alive(process: OperatorProcess, enough: bool) -> bool:
    """The same answer; an operator that ends is a failure, which Kubernetes would only hide."""
    assert process.process.poll() is None, last_words(process)
    return enough


def last_words(process: OperatorProcess) -> str:
    return process.log.read_text()[-3000:]


def researchers_run(pod: dict) -> int | None:
    return None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "researcher" else 0


def done(api: Api, space: str, number: int) -> bool:
    every = api.list("Experiment", space)
    ended = [one for one in every if phase(one) == "Complete" and not one["metadata"].get("finalizers")]
    return len(every) == len(ended) == number


SLOW = "requests that fail"
"""The same inside the test's process, and answer by answer, is test_kube_faults.py."""


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=[pytest.mark.slow] if one == SLOW else []) for one in WEATHERS]
)
def test_storms(
    plane: Plane,
    api: Api,
    hubs: Hubs,
    kubelet: Kubelet,
    environment: dict[str, str],
    folder: Path,
    space: str,
    case: str,
) -> None:
    if "Authorization" not in api.http.headers:
        pytest.skip("the storm lets tokens through, and KUBECONFIG has certificates")
    weather, seen, more = WEATHERS[case]
    kubelet.ends = researchers_run
    with (
        blowing(api, weather, folder) as kubeconfig,
        world.operator(kubeconfig, folder, environment | more) as process,
    ):
        found = api.create(world.campaign(space)).json()
        hub = hubs.of(part(found, "hub"))
        for number in range(1, 4):
            hub.ask_for(f"c-{number}", ASKED)
        api.create(world.experiment(space))
        until("all are scored", lambda: alive(process, done(api, space, 4)), about=lambda: last_words(process))
        hub.finished = ("r0",)
        until("the campaign ends", lambda: alive(process, phase(api.get("ResearchCampaign", space, "c")) == "Complete"))
        api.delete("ResearchCampaign", space, "c")
        until("nothing is left", lambda: alive(process, not api.get("ResearchCampaign", space, "c")), 240)
    assert {word for word in seen if not weather.seen[word]} == set(), weather.seen
    twice = {name: count for name, count in weather.made.items() if count > 1 and "/events/" not in name}
    assert twice == {}
    jobs = sorted(name.rsplit("/", 1)[1] for name in weather.made if "/jobs/" in name and "-" in name.rsplit("/", 1)[1])
    assert jobs == ["c-1-1", "c-2-1", "c-3-1", "e-1"]
    assert {name: len(set(uids)) for name, uids in hub.admitted.items()} == dict.fromkeys(("c-1", "c-2", "c-3", "e"), 1)


def test_etcd_and_the_api_server_are_killed(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, environment: dict[str, str], folder: Path, space: str
) -> None:
    """Mid-campaign, with an experiment that runs; a process that loses its lead meanwhile outlives that."""
    if not isinstance(plane, Processes):
        pytest.skip("only a control plane of the test run's own has an etcd to kill: set KUBEBUILDER_ASSETS")
    hold = {"c-1-1"}
    kubelet.ends = lambda pod: (
        None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] in ("researcher", *hold) else 0
    )
    with world.operator(plane.kubeconfig, folder, environment) as process:
        found = api.create(world.campaign(space)).json()
        hub = hubs.of(part(found, "hub"))
        hub.ask_for("c-1", ASKED)
        until("it runs", lambda: phase(api.get("Experiment", space, "c-1")) == "Running")
        uid = api.get("Job", part(found, "r0"), "c-1-1")["metadata"]["uid"]
        plane.kill("etcd")
        plane.kill("kube-apiserver")
        hub.ask_for("c-2", ASKED)
        plane.start_etcd()
        plane.start_api()
        plane.wait()
        assert api.get("Job", part(found, "r0"), "c-1-1")["metadata"]["uid"] == uid
        hold.clear()
        until("both are scored", lambda: alive(process, done(api, space, 2)), about=lambda: last_words(process))
        assert [one.job_uid for one in hub.settled["c-1"]] == [uid] * len(hub.settled["c-1"])
        jobs = [one["metadata"]["name"] for one in api.list("Job", part(found, "r0")) if "-" in one["metadata"]["name"]]
        assert sorted(jobs) == ["c-1-1", "c-2-1"]
