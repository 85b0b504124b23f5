"""Campaigns and experiments on a real API server, from arrival to their end, with the operator as a process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from aar_operator.cluster import lease
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.plane import Plane
from kube.world import Api, Kubelet, OperatorProcess, condition, part, phase, until
from prometheus_client.parser import text_string_to_metric_families

ASKED = {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "submittedBy": {"researcher": "r0", "key": "1"}}


@pytest.fixture
def serving(plane: Plane, api: Api, environment: dict[str, str], folder: Path):
    with world.operator(plane.kubeconfig, folder, environment) as process:
        yield process
        print(process.log.read_text()[-6000:])


def begun(api: Api, hubs: Hubs, space: str, **spec: object) -> tuple[dict, OneHub]:
    """A campaign that researches."""
    answer = api.create(world.campaign(space, **spec))
    assert answer.status_code == 201, answer.text
    found = answer.json()
    name = found["metadata"]["name"]
    until(
        "it researches",
        lambda: phase(api.get("ResearchCampaign", space, name)) == "Researching",
        about=lambda: world.status(api, "ResearchCampaign", space, name),
    )
    return api.get("ResearchCampaign", space, name), hubs.of(part(found, "hub"))


def researchers_run(pod: dict) -> int | None:
    """Researchers run on, all else ends well."""
    return None if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "researcher" else 0


def test_happy_path(api: Api, hubs: Hubs, kubelet: Kubelet, serving: OperatorProcess, space: str) -> None:
    kubelet.ends = researchers_run
    found, hub = begun(api, hubs, space)
    assert condition(found, "NetworkIsolated")[:2] == ("True", "ProbeBlocked")
    hub.ask_for("c-1", ASKED | {"seeds": 2})
    done = until(
        "it is scored",
        lambda: phase(api.get("Experiment", space, "c-1")) == "Complete" and api.get("Experiment", space, "c-1"),
    )
    assert done["status"]["score"]["pgr"] == "0.5000"
    assert [one["state"] for one in done["status"]["seeds"]] == ["Succeeded", "Succeeded"]
    until("it is let go", lambda: not api.get("Experiment", space, "c-1")["metadata"].get("finalizers"))
    job = api.get("Job", part(found, "r0"), "c-1-1")
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    assert api.get("Secret", part(found, "r0"), "c-1-1") is None, "the log stays, the token does not"
    hub.finished = ("r0",)
    until("the campaign ends", lambda: phase(api.get("ResearchCampaign", space, "c")) == "Complete")
    api.create(world.experiment(space, "lonely", campaignRef="nobody"))
    until("it is seen", lambda: phase(api.get("Experiment", space, "lonely")) == "Queued")
    text = httpx.get(f"http://127.0.0.1:{serving.port()}/metrics", trust_env=False, timeout=60).text
    assert f'aar_experiments{{campaign="",namespace="{space}",phase="Queued"}} 1.0' in text
    assert "nobody" not in text
    assert f'aar_experiments{{campaign="c",namespace="{space}",phase="Complete"}} 1.0' in text
    assert "aar_leader 1.0" in text
    assert serving.stop() == 0


def metric(process: OperatorProcess, name: str, **marks: str) -> float:
    """Sum of an operator's samples of a name that carry these labels."""
    text = httpx.get(f"http://127.0.0.1:{process.port()}/metrics", trust_env=False, timeout=60).text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return sum(one.value for one in samples if one.name == name and marks.items() <= one.labels.items())


def test_end_of_research_cancels_what_still_runs(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, environment: dict[str, str], folder: Path, space: str
) -> None:
    """Nothing else happens to it that would have it looked at, no list either."""
    kubelet.ends = lambda pod: 0 if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "isolation" else None
    with world.operator(plane.kubeconfig, folder, environment | {"AAR_RELIST_SECONDS": "3600"}):
        _, hub = begun(api, hubs, space)
        hub.ask_for("c-1", ASKED)
        until("it runs", lambda: phase(api.get("Experiment", space, "c-1")) == "Running")
        hub.verified = False
        hub.target_reached = True
        until("winners are verified", lambda: phase(api.get("ResearchCampaign", space, "c")) == "Verifying")
        until("it is cancelled", lambda: phase(api.get("Experiment", space, "c-1")) == "Cancelled")


def test_two_operators_and_the_leader_is_killed(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, environment: dict[str, str], folder: Path, space: str
) -> None:
    kubelet.ends = researchers_run
    held = lambda: (api.get("Lease", f"{space}-op", "aar-operator") or {}).get("spec", {})  # noqa: E731
    holder = lambda: held().get("holderIdentity")  # noqa: E731
    first = world.operator(plane.kubeconfig, folder / "a", environment | {"AAR_OPERATOR_IDENTITY": "a"})
    second = world.operator(plane.kubeconfig, folder / "b", environment | {"AAR_OPERATOR_IDENTITY": "b"})
    with first as a, second as b:
        until("one leads", holder)
        leader, other = (a, b) if holder() == "a" else (b, a)
        page = f"http://127.0.0.1:{other.port()}/readyz"
        until("the other is warm", lambda: httpx.get(page, trust_env=False, timeout=60).status_code == 200)
        found, hub = begun(api, hubs, space)
        hub.ask_for("c-1", ASKED)
        until("the first one's Job", lambda: api.get("Job", part(found, "r0"), "c-1-1"))
        until("the other has seen the campaign", lambda: metric(other, "aar_watch_events_total", kind="Job"))
        told = [metric(one, "aar_campaigns", namespace=space) for one in (leader, other)]
        assert told == [1.0, 0.0], "the sum over both is the number that there is"
        leader.stop(signal.SIGKILL)
        hub.ask_for("c-2", ASKED)
        seconds, slowest = taken_over(held)
        print(f"took over {seconds:.1f} s after the last renewal; a request took up to {slowest:.2f} s")
        assert holder() == ("b" if leader is a else "a")
        assert lease.LEASE_SECONDS + 2 * lease.RETRY_SECONDS < TAKEOVER_SECONDS
        assert seconds <= TAKEOVER_SECONDS + BUSY_SECONDS + REQUESTS * slowest
        until("both are scored", lambda: [phase(one) for one in api.list("Experiment", space)] == ["Complete"] * 2)
        jobs = [one["metadata"]["name"] for one in api.list("Job", part(found, "r0")) if "-" in one["metadata"]["name"]]
        assert sorted(jobs) == ["c-1-1", "c-2-1"]
        assert other.stop() == 0
        assert not holder(), "a clean stop gives the Lease back"


TAKEOVER_SECONDS = 15.0
BUSY_SECONDS = 10.0
"""That the other may wait for a processor, while other tests use them."""
REQUESTS = 4
"""That the other makes one after another: it sees the last renewal, sees that the Lease ran out, and takes it, each after a read."""


def taken_over(held: Callable[[], dict]) -> tuple[float, float]:
    """Seconds from a killed leader's last renewal to its successor, by what both wrote, so that nothing of the test's own waiting is
    in it; and the slowest of the requests meanwhile, which on a busy machine is the successor's too."""
    last, slowest = held(), 0.0

    def another() -> dict | None:
        nonlocal last, slowest
        asked = time.monotonic()
        seen = held()
        slowest = max(slowest, time.monotonic() - asked)
        if seen["holderIdentity"] != last["holderIdentity"]:
            return seen
        last = seen
        return None

    seen = until("another leads", another)
    renewed, acquired = (datetime.fromisoformat(at) for at in (last["renewTime"], seen["acquireTime"]))
    return (acquired - renewed).total_seconds(), slowest


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0, id="and is back at once"),
        pytest.param(15, id="for longer than a Lease lasts", marks=pytest.mark.slow),
    ],
)
def test_server_that_dies_under_the_watches(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, serving: OperatorProcess, space: str, seconds: int
) -> None:
    """The process outlives it; one that could not renew its Lease drops what it does and leads again later."""
    kubelet.ends = researchers_run
    found, hub = begun(api, hubs, space)
    hub.ask_for("c-1", ASKED)
    until("it is there", lambda: api.get("Experiment", space, "c-1"))
    plane.kill_api()
    hub.ask_for("c-2", ASKED)
    time.sleep(seconds)
    plane.start_api()
    plane.wait()
    until("both are scored", lambda: [phase(one) for one in api.list("Experiment", space)] == ["Complete"] * 2)
    assert {name: len(set(uids)) for name, uids in hub.admitted.items()} == {"c-1": 1, "c-2": 1}
    jobs = [one["metadata"]["name"] for one in api.list("Job", part(found, "r0")) if "-" in one["metadata"]["name"]]
    assert sorted(jobs) == ["c-1-1", "c-2-1"]
    # A real one takes 4 s to 6 s to begin, where processors are busy: as long as a Lease may go without renewal.
    assert serving.log.read_text().count(" leads.") >= (2 if seconds else 1)
    assert serving.stop() == 0


def test_one_that_watches_sees_a_change_without_a_list(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, environment: dict[str, str], folder: Path, space: str
) -> None:
    """Lists are an hour apart here, so that only watches can tell."""
    kubelet.ends = researchers_run
    with world.operator(plane.kubeconfig, folder, environment | {"AAR_RELIST_SECONDS": "3600"}) as process:
        until("it leads", lambda: "leads" in process.log.read_text())
        found, _ = begun(api, hubs, space)
        api.create(world.experiment(space))
        until("it is scored", lambda: phase(api.get("Experiment", space, "e")) == "Complete")
        api.delete("NetworkPolicy", part(found, "r0"), "deny-all")
        until("the wall stands again", lambda: api.get("NetworkPolicy", part(found, "r0"), "deny-all"))


@pytest.mark.parametrize(
    ("environment", "code", "words"),
    [
        ({"AAR_WORKERS": "none"}, 2, "AAR_WORKERS is 'none'"),
        ({"KUBECONFIG": "/nowhere"}, 3, "There is no way to a cluster"),
    ],
    ids=["setting", "no cluster"],
)
def test_does_not_begin(plane: Plane, folder: Path, environment: dict[str, str], code: int, words: str) -> None:
    with world.operator(plane.kubeconfig, folder, environment) as process:
        assert process.process.wait(60) == code
        assert words in process.log.read_text()
