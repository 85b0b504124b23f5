"""What survives: a restart in the middle, a kill, and the figures that are read from what is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from aar_api import labels
from aar_hub import verification
from hub import gatewayworld
from hub.hubworld import OPERATOR, PATIENCE_SECONDS, World, answers, npz
from prometheus_client.parser import text_string_to_metric_families


def everything(world: World) -> list[Any]:
    """All that the operator and a researcher can read."""
    one = world.researcher()
    feed = world.must("GET", "/v1/operator/feed", params={"cursor": 0})
    read = [
        one.get(path) for path in ("/v1/brief", "/v1/experiments", "/v1/leaderboard", "/v1/findings", "/v1/methods")
    ]
    return [feed, world.summary(), world.report(), world.must("GET", "/v1/operator/experiments"), *read]


def test_a_restart_in_the_middle_keeps_everything(world: World) -> None:
    one = world.researcher()
    one.explore(0.85, config={"name": "good"})
    half = one.submit(config={"name": "half"}).json()["name"]
    one.post("/v1/findings", {"kind": "result", "title": "t", "experiments": [half], "key": "k"})
    world.events()
    answer = world.admit(half)
    first = npz(test=answers(world.truth(), 0.7, 0))
    world.output(answer["postToken"], 0, first)
    before = everything(world)
    world.restart()
    assert everything(world) == before
    assert world.admit(half) == answer
    # A lab that posts on: the first output again, then the second, with the tokens it was started with.
    assert [world.output(answer["postToken"], i, first).status_code for i in (0, 1)] == [204, 204]
    assert world.settle(half, 2)["state"] == "scored"
    world.restart()
    assert world.settle(half, 2)["state"] == "scored"
    assert len(world.report()["timeline"]) == 2


def level(wanted: dict[str, Any]) -> float:
    """Accuracy of a run: a winner that beats vanilla, and needs the weak labels."""
    if "control" in wanted:
        return 0.55
    return 0.65 if wanted["method"].get("builtin") == verification.VANILLA else 0.85


def test_a_restart_in_every_step_of_verification(world: World) -> None:
    world.researcher().explore(0.85, config={"name": "good"})
    world.stage("verifying")
    done: list[str] = []
    while not world.summary()["verified"]:
        for name in world.requested():
            world.restart()
            assert name not in done, "nothing is asked for twice"
            done.append(name)
            world.run(name, level(world.specs[name]))
            world.restart()
        time.sleep(0.01)
    assert len(done) == 4, "the winner, vanilla and two controls"
    assert world.summary()["best"]["confirmed"]


class Process:
    """The hub as the program that is shipped."""

    def __init__(self, folder: Path) -> None:
        own = {labels.ENV_HUB_DATA_DIR: str(folder), labels.ENV_HUB_OPERATOR_TOKEN: OPERATOR}
        self.process, ports = gatewayworld.begin(os.environ | own, folder.with_suffix(".log"))
        self.sandbox, self.control = (f"http://127.0.0.1:{port}" for port in ports)
        limit = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            assert self.process.poll() is None, "it ended"
            assert time.monotonic() < limit, "it does not answer"
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return all(httpx.get(f"{url}/healthz", trust_env=False).is_success for url in (self.sandbox, self.control))
        except httpx.TransportError:
            return False

    def ask(self, verb: str, url: str, token: str = OPERATOR, **more: Any) -> httpx.Response:
        return httpx.request(
            verb, url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60, **more
        )

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        self.process.wait(PATIENCE_SECONDS)
        return self.process.returncode


def test_a_kill_at_any_moment_loses_nothing_and_scores_once(researched: World, tmp_path: Path) -> None:
    seeded = researched.copy(tmp_path / "hub")
    truth, token = seeded.truth(), seeded.researcher().token
    digest = seeded.researcher().upload()
    seeded.stop()

    ends: list[int] = []
    hub = Process(tmp_path / "hub")
    body = {"key": "k", "snapshot": digest, "seeds": 2}
    name = hub.ask("POST", f"{hub.sandbox}/v1/experiments", token, json=body).json()["name"]
    ends.append(hub.end(signal.SIGKILL))

    hub = Process(tmp_path / "hub")
    assert hub.ask("POST", f"{hub.sandbox}/v1/experiments", token, json=body).json()["name"] == name
    events = hub.ask("GET", f"{hub.control}/v1/operator/feed", params={"cursor": researched.cursor}).json()["events"]
    (event,) = [one for one in events if one.get("experiment") == name]
    path = f"/v1/operator/experiments/{name}"
    wanted = {"uid": "u", "spec": event["spec"], "maxAttempts": 2}
    first = hub.ask("PUT", f"{hub.control}{path}/admission", json=wanted).json()
    output = npz(test=answers(truth, 0.7, 0))
    where = f"{hub.sandbox}/v1/lab/output?index=0"
    assert hub.ask("POST", where, first["postToken"], content=output).status_code == 204
    ends.append(hub.end(signal.SIGKILL))

    hub = Process(tmp_path / "hub")
    assert hub.ask("PUT", f"{hub.control}{path}/admission", json=wanted).json() == first
    for index in (0, 1):
        where = f"{hub.sandbox}/v1/lab/output?index={index}"
        assert hub.ask("POST", where, first["postToken"], content=output).status_code == 204
    indexes = [{"index": i, "succeeded": True, "seconds": 1.0} for i in (0, 1)]
    ended = {"jobName": "j", "jobUid": "u", "outcome": "finished", "indexes": indexes}
    views = [hub.ask("PUT", f"{hub.control}{path}/settlement", json=ended).json() for _ in range(2)]
    assert views[0] == views[1]
    assert views[0]["state"] == "scored"
    ends.append(hub.end(signal.SIGTERM))
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0]


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({labels.ENV_HUB_DATA_DIR: ""}, "AAR_HUB_DATA_DIR is not set, but the hub cannot start without it"),
        ({labels.ENV_HUB_OPERATOR_TOKEN: ""}, "AAR_HUB_OPERATOR_TOKEN is not set"),
        (
            {labels.ENV_HUB_SANDBOX_PORT: "http"},
            "AAR_HUB_SANDBOX_PORT is 'http', but a port is a number from 0 to 65535",
        ),
        ({labels.ENV_HUB_GPU_USD_PER_HOUR: "-1"}, "AAR_HUB_GPU_USD_PER_HOUR: '-1' is not an amount of US dollars"),
    ],
    ids=["no folder", "no token", "port", "price"],
)
def test_a_hub_that_cannot_start_says_why(tmp_path: Path, missing: dict[str, str], told: str) -> None:
    own = {labels.ENV_HUB_DATA_DIR: str(tmp_path), labels.ENV_HUB_OPERATOR_TOKEN: "t"} | missing
    command = [sys.executable, "-m", "aar_hub.main"]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"aar_hub: {told}")


# Metrics


def test_no_metrics_before_a_campaign(worlds: Any) -> None:
    assert list(text_string_to_metric_families(worlds().running.control.get("/metrics").text)) == []
