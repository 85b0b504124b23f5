"""Campaigns and experiments on a real API server, from arrival to their end, with the operator as a process."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from kube import world
from kube.hubdouble import Hubs, OneHub
from kube.plane import Plane
from kube.world import Api, Kubelet, OperatorProcess, condition, part, phase, until


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
    hub.ask_for("c-1", {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "seeds": 2,
                        "submittedBy": {"researcher": "r0", "key": "1"}})  # fmt: skip
    done = until(
        "it is scored",
        lambda: phase(api.get("Experiment", space, "c-1")) == "Complete" and api.get("Experiment", space, "c-1"),
    )
    assert done["status"]["score"]["pgr"] == "0.5000"
    assert [one["state"] for one in done["status"]["seeds"]] == ["Succeeded", "Succeeded"]
    until("it is let go", lambda: not api.get("Experiment", space, "c-1")["metadata"].get("finalizers"))
    job = api.get("Job", part(found, "r0"), "c-1-1")
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    secret = api.get("Secret", part(found, "r0"), "c-1-1")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    hub.finished = ("r0",)
    until("the campaign ends", lambda: phase(api.get("ResearchCampaign", space, "c")) == "Complete")
    text = httpx.get(f"http://127.0.0.1:{serving.port()}/metrics", trust_env=False).text
    assert f'aar_experiments{{campaign="c",namespace="{space}",phase="Complete"}} 1.0' in text
    assert "aar_leader 1.0" in text
    assert serving.stop() == 0
