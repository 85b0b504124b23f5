"""What code finds when it tries to get out of a sandbox; each way is first seen to be open from a pod without our policies."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from aar_agent.hub import Hub
from aar_api.wire import SnapshotUpload, Submission
from e2e.conftest import Campaign
from e2e.escape import MARK
from e2e.world import HERE, PATIENCE, World, until

OUTSIDE = os.environ.get("AAR_E2E_OUTSIDE", "")
PORT = 8000
ATTEMPTS = (
    "DNS",
    "a name",
    "API server",
    "kubelet",
    "pod in the open",
    "another researcher's pod",
    "operator's port of the hub",
    "the internet",
    "write",
    "account",
    "credential",
    "root",
    "user namespace",
)
OWN_TOKEN = "2 found"
"""By a researcher in its own pod: that of the pod's first process and of the attempt itself, both its own."""
NOT_OPEN = {
    "another researcher's pod": "the policies of that researcher's sandbox keep strangers out too",
    "operator's port of the hub": "the policy of the hub keeps strangers out too",
    "user namespace": "nodes may forbid them altogether",
}
"""What a pod without our policies need not get either."""


def listener(image: str, space: str, **more: Any) -> dict[str, Any]:
    """A pod that answers HTTP, as restricted as a sandbox wants it."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    command = ["python", "-m", "http.server", str(PORT), "--directory", "/app/aar_api"]
    one = {"name": "listener", "image": image, "command": command, "securityContext": context}
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [one], "securityContext": security, "terminationGracePeriodSeconds": 1, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "listener", "namespace": space}, "spec": spec}


ASK_ITSELF = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/', timeout=5).read()"


def address(world: World, space: str, pod: str) -> str:
    """Once it answers: from inside, since that no one else gets an answer is what is to be shown."""
    ask = ("-n", space, "exec", pod, "--", "python", "-c", ASK_ITSELF)
    until(f"{pod} answers", lambda: _running(world, space, pod) and not world.run(*ask).returncode, 300)
    return str(world.get("-n", space, "pod", pod)["status"]["podIP"])


def _running(world: World, space: str, pod: str) -> bool:
    status: dict[str, Any] = world.get("-n", space, "pod", pod)["status"]
    return status.get("phase") == "Running"


@pytest.fixture(scope="module")
def targets(world: World, space: str, campaign: Campaign) -> dict[str, str]:
    """name -> way and address"""
    until("the campaign was accepted", lambda: campaign.condition("Accepted"), PATIENCE, campaign.about)
    other = campaign.part("r1")
    image = world.image("agent")
    world.apply(listener(image, space), listener(image, other, automountServiceAccountToken=False))
    node = world.get("nodes")["items"][0]
    kubelet = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
    api = world.get("-n", "default", "service", "kubernetes")["spec"]["clusterIP"]
    hub = world.get("-n", campaign.part("hub"), "service", "hub")["spec"]["clusterIP"]
    dns = world.get("-n", "kube-system", "service", "kube-dns")["spec"]["clusterIP"]
    found = {
        "DNS": f"dns {dns}",
        "a name": "name kubernetes.default.svc.cluster.local",
        "API server": f"http https://{api}/version",
        "kubelet": f"http https://{kubelet}:10250/healthz",
        "pod in the open": f"http http://{address(world, space, 'listener')}:{PORT}/",
        "another researcher's pod": f"http http://{address(world, other, 'listener')}:{PORT}/",
        "operator's port of the hub": f"http http://{hub}:8081/healthz",
        "sandboxes' port of the hub": f"http http://{hub}:8080/v1/lab/bundle",
    }
    return found | ({"the internet": f"http {OUTSIDE}"} if OUTSIDE else {})


@pytest.fixture(scope="module")
def from_the_open(world: World, space: str, targets: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The same attempts by a pod of the same image in a namespace without policies, as Kubernetes starts it by default."""
    source = (HERE / "escape.py").read_text()
    one = {
        "name": "open",
        "image": world.image("lab"),
        "command": ["python", "-c", source, json.dumps(targets)],
        "env": [{"name": "AAR_TOKEN", "value": "planted, to be found"}],
        "securityContext": {"runAsUser": 0},
    }
    spec = {"containers": [one], "restartPolicy": "Never"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "open", "namespace": space}, "spec": spec}
    world.apply(pod)
    until("it ended", lambda: world.get("-n", space, "pod", "open")["status"].get("phase") == "Succeeded", 600)
    return told(world.kubectl("-n", space, "logs", "open"))


SHELL, RESEARCHER, PERSON = "a researcher's pod", "a researcher's method", "a person's method"


@dataclass(frozen=True)
class Inside:
    """What the attempts came to, from where, and as which Experiment."""

    where: str
    found: dict[str, dict[str, Any]]
    experiment: str = ""


@dataclass(frozen=True)
class Begun:
    """All attempts from sandboxes, begun as soon as there is research, which a fast cluster is through with soon."""

    experiments: dict[str, str]
    """From where -> its Experiment."""
    shell: str
    """What was printed in a researcher's pod."""


@pytest.fixture(scope="module")
def begun(world: World, space: str, campaign: Campaign, targets: dict[str, str]) -> Begun:
    until("research began", lambda: researches(campaign), PATIENCE, campaign.about)
    part = campaign.part("r0")
    until("a researcher runs", lambda: researches(campaign) and _runs(world, part), PATIENCE, campaign.about)
    experiments = {
        RESEARCHER: by_a_researcher(campaign, targets),
        PERSON: by_a_person(world, space, campaign, targets),
    }
    return Begun(experiments, shell(world, part, targets))


def researches(campaign: Campaign) -> bool:
    phase = campaign.phase()
    assert phase in ("", "Pending", "Preparing", "Researching"), f"too late to try anything: {campaign.about()}"
    return phase == "Researching"


def shell(world: World, part: str, targets: dict[str, str]) -> str:
    """As what an LLM researcher may run in its own pod."""
    command = ["python", "-c", (HERE / "escape.py").read_text(), json.dumps(targets)]
    return world.kubectl("-n", part, "exec", "job/researcher", "--", *command)


def by_a_researcher(campaign: Campaign, targets: dict[str, str]) -> str:
    """As a method that a researcher submits to the hub, by its own token."""
    token = campaign.secret("r0", "researcher", "token")
    with campaign.world.forwarded(campaign.part("hub"), "service/hub", 8080) as url:
        hub = Hub(url, token, threading.Event(), patience=60)
        source = (HERE / "escape.py").read_text()
        digest = hub.upload(SnapshotUpload(files={"method.py": source})).digest
        asked = Submission(key="escape", snapshot=digest, config={"targets": json.dumps(targets)})
        name = hub.submit(asked).name
        hub.close()
    return name


def by_a_person(world: World, space: str, campaign: Campaign, targets: dict[str, str]) -> str:
    """As the method of an Experiment that a person applied."""
    method = {"inline": (HERE / "escape.py").read_text(), "config": {"targets": json.dumps(targets), "by": "a person"}}
    resources = campaign.get()["spec"]["experiments"]["resources"]
    spec = {"campaignRef": campaign.name, "seeds": 1, "method": method, "resources": resources}
    about = {"apiVersion": "aar.dev/v1alpha1", "kind": "Experiment"}
    world.apply({**about, "metadata": {"name": "escape", "namespace": space}, "spec": spec})
    return "escape"


@pytest.fixture(scope="module", params=[SHELL, RESEARCHER, PERSON])
def inside(request: pytest.FixtureRequest, world: World, space: str, campaign: Campaign, begun: Begun) -> Inside:
    name = begun.experiments.get(request.param, "")
    log = tried(world, space, campaign, name) if name else begun.shell
    print(f"\nfrom {request.param}:")
    return Inside(request.param, told(log), name)


def _runs(world: World, part: str) -> bool:
    pods = world.get("-n", part, "pods", "-l", "aar.dev/researcher=r0,batch.kubernetes.io/job-name=researcher")["items"]
    return any(one["status"].get("phase") == "Running" for one in pods)


def tried(world: World, space: str, campaign: Campaign, name: str) -> str:
    """What a method printed."""
    log = until(f"the method of {name} ran", lambda: _log(world, space, campaign, name), PATIENCE, campaign.about)
    return str(log)


def _log(world: World, space: str, campaign: Campaign, name: str) -> str:
    experiment = world.get("-n", space, "experiments", "--field-selector", f"metadata.name={name}")["items"]
    phase = experiment[0].get("status", {}).get("phase") if experiment else ""
    assert phase != "Cancelled", f"research ended before this ran: {experiment}"
    if phase not in ("Complete", "Failed"):
        return ""
    for part in campaign.spaces():
        pods = world.get("-n", part, "pods", "-l", f"aar.dev/experiment={name}")["items"]
        for pod in pods:
            return world.kubectl("-n", part, "logs", pod["metadata"]["name"], "-c", "train")
    raise AssertionError(f"no pod of the experiment is left: {experiment}")


def told(log: str) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line.removeprefix(MARK)) for line in log.splitlines() if line.startswith(MARK)]
    found = {line["attempt"]: line for line in lines}
    assert found, log
    for line in lines:
        print(f"{line['attempt']:28} {'worked' if line['worked'] else 'failed':8} {line['told']}")
    return found


@pytest.mark.parametrize("attempt", [one for one in ATTEMPTS if one not in NOT_OPEN])
def test_open_without_our_policies(from_the_open: dict[str, dict[str, Any]], attempt: str) -> None:
    """Else its failure in the sandbox would say nothing."""
    if attempt == "the internet" and not OUTSIDE:
        pytest.skip("AAR_E2E_OUTSIDE names no address outside the cluster that answers")
    assert from_the_open[attempt]["worked"], from_the_open[attempt]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_closed_in_a_sandbox(inside: Inside, attempt: str) -> None:
    if attempt == "the internet" and not OUTSIDE:
        pytest.skip("AAR_E2E_OUTSIDE names no address outside the cluster that answers")
    if attempt == "credential" and inside.where == SHELL:
        assert inside.found[attempt]["told"] == OWN_TOKEN
        return
    assert not inside.found[attempt]["worked"], inside.found[attempt]


def test_the_network_of_the_sandbox_works(inside: Inside) -> None:
    """The one open way leads to the hub, which wants a token: everything else is closed, not broken."""
    assert inside.found["sandboxes' port of the hub"]["told"].startswith("401")


@pytest.mark.parametrize(
    "attempt", ["another researcher's pod", "operator's port of the hub", "sandboxes' port of the hub"]
)
def test_no_way_into_a_sandbox_or_the_hub(from_the_open: dict[str, dict[str, Any]], attempt: str) -> None:
    assert not from_the_open[attempt]["worked"], from_the_open[attempt]


def test_the_attempts_are_found_by_an_audit(world: World, space: str, inside: Inside) -> None:
    if not inside.experiment:
        pytest.skip("what runs in a researcher's own pod is no method")
    assert world.get("-n", space, "experiment", inside.experiment)["status"]["audit"] == "Suspect"


def test_a_pod_that_is_root_is_refused_in_a_sandbox(world: World, campaign: Campaign) -> None:
    pod = listener(world.image("agent"), campaign.part("r0"))
    pod["spec"]["containers"][0]["securityContext"]["runAsUser"] = 0
    refused = world.run("create", "-f", "-", given=json.dumps(pod))
    assert 'violates PodSecurity "restricted' in refused.stderr
