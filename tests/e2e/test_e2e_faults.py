"""Faults while a campaign runs on real pods, in the order of its life: it completes, and nothing is made or paid twice."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import yaml
from aar_operator.cluster.observe import INDEX_TRIES
from e2e.conftest import Campaign, applied
from e2e.world import HERE, PATIENCE, SYSTEM, World, until

KILL, START = (os.environ.get(name, "") for name in ("AAR_E2E_KILL", "AAR_E2E_START"))
NO_COMMANDS = "AAR_E2E_KILL and AAR_E2E_START name no commands that kill components of the cluster and start them again: docs/e2e.md"
OUTAGES = {
    "the kubelet for 20 s": (("kubelet",), 20),
    "etcd for 15 s": (("etcd",), 15),
    "the API server for a minute": (("kube-apiserver",), 60),
    "all three at once for 10 s": (("kube-apiserver", "etcd", "kubelet"), 10),
}


@pytest.fixture(scope="module")
def tried(world: World, space: str) -> Iterator[Campaign]:
    """A campaign of its own: the small one, with enough to do for all that happens to it, also where experiments take seconds."""
    manifest = yaml.safe_load((HERE / "campaign.yaml").read_text())
    manifest["metadata"]["name"] = "faults"
    manifest["spec"]["experiments"]["maxCount"] = 30
    manifest["spec"]["activeDeadlineSeconds"] = 3000
    with applied(world, space, manifest) as one:
        until("it prepares", lambda: _done(one) > 0, PATIENCE, one.about)
        yield one


def _done(campaign: Campaign) -> int:
    return int(campaign.get().get("status", {}).get("experiments", {}).get("scored", 0))


def goes_on(campaign: Campaign, before: int) -> None:
    """Something more is scored, and research is not over, so that the next fault meets it too."""
    until("something more is scored", lambda: _done(campaign) > before, PATIENCE, campaign.about)
    assert campaign.phase() in ("Preparing", "Researching"), campaign.about()


def operators(world: World) -> dict[str, int]:
    """Pod of the operator -> times that it was started again."""
    pods = world.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=operator")["items"]
    return {one["metadata"]["name"]: one["status"]["containerStatuses"][0]["restartCount"] for one in pods}


@pytest.mark.parametrize("outage", OUTAGES)
def test_component_is_away(world: World, tried: Campaign, outage: str) -> None:
    if not KILL or not START:
        pytest.skip(NO_COMMANDS)
    components, seconds = OUTAGES[outage]
    before, started = _done(tried), operators(world)
    subprocess.run([*shlex.split(KILL), *components], check=True)
    time.sleep(seconds)
    subprocess.run(shlex.split(START), check=True, stdout=subprocess.DEVNULL)
    until("the API server answers", lambda: world.run("get", "--raw", "/readyz").returncode == 0, 300)
    goes_on(tried, before)
    assert operators(world) == started, "the operator outlives it"


def test_leader_is_killed(world: World, tried: Campaign) -> None:
    before = _done(tried)
    leader = world.get("-n", SYSTEM, "lease", "aar-operator")["spec"]["holderIdentity"]
    began = time.monotonic()
    world.kubectl("-n", SYSTEM, "delete", "pod", leader, "--grace-period=0", "--force")
    until("another leads", lambda: _holder(world) not in ("", leader), 300)
    print(f"\ntook over after {time.monotonic() - began:.1f} s")
    goes_on(tried, before)


def _holder(world: World) -> str:
    return str(world.get("-n", SYSTEM, "lease", "aar-operator")["spec"].get("holderIdentity") or "")


def test_researcher_is_evicted(world: World, tried: Campaign) -> None:
    until("it researches", lambda: tried.phase() == "Researching", PATIENCE, tried.about)
    before, part = _done(tried), tried.part("r0")
    pod = until("a researcher runs", lambda: _researcher(world, part), PATIENCE, tried.about)
    submitted = _by(tried, "r0")
    _evict(world, part, pod)
    another = until("another runs", lambda: _researcher(world, part) not in ("", pod), PATIENCE, tried.about)
    assert another
    assert world.get("-n", part, "job", "researcher")["status"].get("failed", 0) == 0, "an eviction is no failure"
    goes_on(tried, before)
    assert _by(tried, "r0") >= submitted


def _researcher(world: World, part: str) -> str:
    pods = world.get("-n", part, "pods", "-l", "batch.kubernetes.io/job-name=researcher")["items"]
    running = [one["metadata"] for one in pods if one["status"].get("phase") == "Running"]
    return next((meta["name"] for meta in running if "deletionTimestamp" not in meta), "")


def _by(campaign: Campaign, researcher: str) -> int:
    return sum(one["spec"].get("submittedBy", {}).get("researcher") == researcher for one in campaign.experiments())


def _evict(world: World, namespace: str, pod: str) -> None:
    about = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    world.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(about))


SLEEPER = "sleeper"
SLEEPS = """import time

import numpy as np


def train(lab):
    time.sleep(45)
    return np.full(len(lab.test), float(np.mean(lab.weak)))
"""
"""Long enough to be seen and evicted while it trains, and twice that is within its deadline of 300 s."""


def test_experiment_is_evicted(world: World, tried: Campaign) -> None:
    """A seed begins anew in another pod of the same Job, which says that one went before it: so both are paid for, whoever looked."""
    before, name = _done(tried), SLEEPER
    resources = tried.get()["spec"]["experiments"]["resources"]
    spec = {"campaignRef": tried.name, "seeds": 1, "method": {"inline": SLEEPS}, "resources": resources}
    about = {
        "apiVersion": "aar.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name, "namespace": tried.space},
    }
    world.apply(about | {"spec": spec})
    namespace, pod = until("it trains", lambda: _training(world, tried, name), PATIENCE, tried.about)
    _evict(world, namespace, pod)
    ended = until("it is scored", lambda: _scored(tried, name), PATIENCE, tried.about)
    assert ended["status"]["attempts"] == 1
    again = world.get("-n", namespace, "pods", "-l", f"aar.dev/experiment={name}")["items"]
    told = [one["metadata"].get("annotations", {}) for one in again]
    assert any(int(notes.get(count) or 0) for notes in told for count in INDEX_TRIES), told
    goes_on(tried, before)


def _training(world: World, campaign: Campaign, name: str) -> tuple[str, str] | None:
    _scored(campaign, name)  # one that was refused or failed will never train
    for part in campaign.spaces():
        for pod in world.get("-n", part, "pods", "-l", f"aar.dev/experiment={name}")["items"]:
            steps = pod["status"].get("initContainerStatuses", [])
            if any(one["name"] == "train" and "running" in one["state"] for one in steps):
                return part, pod["metadata"]["name"]
    return None


def _scored(campaign: Campaign, name: str) -> dict[str, Any] | None:
    found = next(one for one in campaign.experiments() if one["metadata"]["name"] == name)
    phase = found.get("status", {}).get("phase")
    assert phase not in ("Failed", "Cancelled"), found["status"]
    return found if phase == "Complete" else None


def test_hub_is_killed(world: World, tried: Campaign) -> None:
    before = _done(tried)
    pods = world.get("-n", tried.part("hub"), "pods")["items"]
    for pod in pods:
        world.kubectl("-n", tried.part("hub"), "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    goes_on(tried, before)


def test_it_completes_with_nothing_made_or_paid_twice(world: World, tried: Campaign) -> None:
    until("the campaign ended", lambda: tried.phase() in ("Complete", "Failed"), PATIENCE, tried.about)
    status = tried.get()["status"]
    assert status["phase"] == "Complete", status
    experiments = tried.experiments()
    ended = {one["metadata"]["name"]: one["status"]["phase"] for one in experiments}
    assert set(ended.values()) == {"Complete"}, ended
    assert len(ended) == status["experiments"]["total"]
    explored = [one for one in experiments if one["spec"].get("purpose", "Exploration") == "Exploration"]
    assert len(explored) == tried.get()["spec"]["experiments"]["maxCount"]
    jobs = [
        one for part in tried.spaces() for one in world.get("-n", part, "jobs", "-l", "aar.dev/experiment")["items"]
    ]
    assert sorted(one["metadata"]["name"] for one in jobs) == sorted(f"{name}-1" for name in ended)
    assert {one["status"]["attempts"] for one in experiments} == {1}
    paid = sum((Decimal(one["status"]["cost"]["totalUSD"]) for one in experiments), Decimal(0))
    assert Decimal(status["spend"]["totalUSD"]) == paid
    assert Decimal(status["spend"]["reservedUSD"]) == 0
    print(world.kubectl("-n", tried.space, "get", "rcamp,rexp"))
