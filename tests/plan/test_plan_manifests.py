"""What settings put into the objects of a cluster, and what one machine leaves out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aar_api.wire import AdmissionAnswer
from aar_operator import settings as settings_module
from aar_operator.manifests import experiment as manifest
from aar_operator.manifests import hub, isolation, namespace, researcher
from aar_operator.plan.ground import ground
from aar_operator.plan.model import CampaignSeen
from aar_operator.settings import Settings
from plan.test_plan_experiment import CAMPAIGN, experiment

GPU = Settings(
    node_selector={"pool": "research"},
    tolerations=({"key": "research"},),
    gpu_node_selector={"gpu": "h100"},
    gpu_tolerations=({"key": "gpu"},),
    runtime_class="gvisor",
    gpu_runtime_class="nvidia",
    priority_class="low",
)
ANSWER = AdmissionAnswer(verdict="admitted", seeds=(1,), fetch_token="f", post_token="p", part="r0")
URL = "http://10.96.0.9:8080"


def lab(settings: Settings, gpus: int = 0) -> dict[str, Any]:
    one = experiment({"resources": {"gpus": gpus}})
    _, job = manifest.build(CAMPAIGN, one, ANSWER, 1, URL, settings)
    return dict(job)


PLACES = {
    "without a GPU": (0, {"pool": "research"}, 1, "gvisor"),
    "with a GPU": (1, {"pool": "research", "gpu": "h100"}, 2, "nvidia"),
}


@pytest.mark.parametrize("case", PLACES)
def test_place(case: str) -> None:
    gpus, selector, tolerations, runtime = PLACES[case]
    pod = lab(GPU, gpus)["spec"]["template"]["spec"]
    assert (pod["nodeSelector"], len(pod["tolerations"])) == (selector, tolerations)
    assert (pod["runtimeClassName"], pod["priorityClassName"]) == (runtime, "low")


AT_ONCE = {
    "no GPU": (8, 0, 8),
    "fewer seeds than GPUs": (3, 1, 3),
    "as many at once as the campaign may have": (8, 1, 4),
    "of several GPUs each": (8, 3, 1),
    "one at a time, where the limit was lowered": (8, 5, 1),
}


@pytest.mark.parametrize("case", AT_ONCE)
def test_seeds_side_by_side_keep_to_the_campaigns_gpus(case: str) -> None:
    seeds, gpus, wanted = AT_ONCE[case]
    one = experiment({"resources": {"gpus": gpus}, "seeds": seeds})
    answer = ANSWER.model_copy(update={"seeds": tuple(range(seeds))})
    job = manifest.build(CAMPAIGN, one, answer, 1, URL, Settings())[1]["spec"]
    assert (job["completions"], job["parallelism"]) == (seeds, wanted)


DEADLINES = {
    # A run is its method's deadline and 900 s for the steps around it; an index may run twice; and a Job has an hour for nodes and evictions.
    "one seed, the campaign's deadline": ({}, 1, 2700, 2 * 2700 + 3600),
    "one seed, its own deadline": ({"activeDeadlineSeconds": 60}, 1, 960, 2 * 960 + 3600),
    "seeds that may have to follow one another": ({"activeDeadlineSeconds": 60}, 8, 960, 8 * 2 * 960 + 3600),
}


@pytest.mark.parametrize("case", DEADLINES)
def test_time_suffices_for_every_run_that_is_paid_for(case: str) -> None:
    spec, seeds, pod, whole = DEADLINES[case]
    answer = ANSWER.model_copy(update={"seeds": tuple(range(seeds))})
    job = manifest.build(CAMPAIGN, experiment(spec | {"seeds": seeds}), answer, 1, URL, Settings())[1]["spec"]
    assert job["backoffLimitPerIndex"] == manifest.MAX_RUNS - 1
    assert (job["template"]["spec"]["activeDeadlineSeconds"], job["activeDeadlineSeconds"]) == (pod, whole)


def test_the_hub_is_not_sandboxed_and_holds_the_key() -> None:
    objects = hub.build(
        CAMPAIGN, replace(GPU, provider_key="k", provider_ca="pem", provider_url="https://p"), "10.96.0.9"
    )
    kinds = {one["kind"]: one for one in objects}
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    assert "runtimeClassName" not in pod
    assert kinds["Secret"]["stringData"] == {"key": "k", "ca.crt": "pem"}
    assert kinds["Service"]["spec"]["clusterIP"] == "10.96.0.9"
    env = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert env["AAR_HUB_PROVIDER_KEY_FILE"] == "/provider/key"
    assert env["AAR_HUB_PROVIDER_CA_FILE"] == "/provider/ca.crt"
    sandboxes = [lab(GPU), isolation.build(CAMPAIGN, "r0", URL, GPU), *namespace.build(CAMPAIGN, "r0", GPU)]
    assert "PROVIDER" not in str(sandboxes)


def test_another_token_makes_another_hub_pod() -> None:
    """A pod reads it once, so that one that runs on would refuse the operator; and none begins before its token is there to stay."""

    def deployments(token: str | None, drawn: str) -> list[Any]:
        plan = ground(CAMPAIGN, CampaignSeen(operator_token=token), drawn, Settings())
        return [one for one in plan.apply if one["kind"] == "Deployment"]

    held = deployments("first", "drawn-1")
    assert deployments("first", "drawn-2") == held
    assert deployments(None, "drawn-2") == []
    assert deployments("drawn-2", "drawn-3") != held
    assert "first" not in str(held)


OUT = {
    "no key, no way out": (Settings(provider_url="https://p"), None),
    "key": (Settings(provider_key="k"), 443),
    "address": (Settings(provider_key="k", provider_url="https://p:8443/x"), 8443),
    "plain address": (Settings(provider_key="k", provider_url="http://p"), 80),
    "proxy": (Settings(provider_key="k", provider_url="https://p", provider_proxy="http://proxy:3128"), 3128),
}


def wall_of_hub(settings: Settings) -> dict[str, Any]:
    made = namespace.build(CAMPAIGN, "hub", settings)
    return dict(next(one for one in made if one["kind"] == "NetworkPolicy")["spec"])


@pytest.mark.parametrize("case", OUT)
def test_the_hub_gets_out_only_to_a_provider(case: str) -> None:
    settings, port = OUT[case]
    spec = wall_of_hub(settings)
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [one["ports"][0]["port"] for one in spec["egress"] if "ports" in one] == ([] if port is None else [53, port])


SERVERS = {
    "unknown": ("", 1, 2),
    "by name": ("kubernetes.default:443", 1, 2),
    "IPv4": ("10.96.0.1:443", 2, 2),
    "IPv6": ("[fd00::1]:443", 1, 3),
    "IPv6 as Kubernetes writes it": ("fd00::1:443", 1, 3),
}


@pytest.mark.parametrize("case", SERVERS)
def test_the_hub_gets_neither_to_metadata_nor_to_the_api_server(case: str) -> None:
    server, *kept = SERVERS[case]
    worlds = wall_of_hub(Settings(provider_key="k", api_server=server))["egress"][-1]["to"]
    assert [len(one["ipBlock"]["except"]) for one in worlds] == kept
    assert "169.254.0.0/16" in worlds[0]["ipBlock"]["except"]


BOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {"default": {"cpu": "1", "memory": "2Gi"}, "defaultRequest": {"cpu": "100m", "memory": "256Mi"}}),
    "most memory": ({"max": {"memory": "1Gi"}}, {"default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}),
    "least and most": ({"min": {"cpu": "2"}, "max": {"memory": "1Gi"}}, {}),
    "a default with it": (
        {"max": {"memory": "1Gi"}, "default": {"memory": "1Gi"}},
        {"default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}},
    ),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_default_limits_keep_to_the_bounds_that_are_given(case: str) -> None:
    given, wanted = BOUNDS[case]
    known = Settings(sandbox_limits=given, sandbox_quota={"limits.cpu": "1"})
    made = {one["kind"]: one["spec"] for one in namespace.build(CAMPAIGN, "r0", known)[1:3]}
    assert made["LimitRange"]["limits"] == [{"type": "Container", **given, **wanted}]
    assert made["ResourceQuota"]["hard"]["limits.cpu"] == "1"
    hubs = {one["kind"]: one["spec"] for one in namespace.build(CAMPAIGN, "hub", known)[1:3]}
    assert hubs["LimitRange"]["limits"] == [{"type": "Container", **BOUNDS["none"][1]}]
    assert "limits.cpu" not in hubs["ResourceQuota"]["hard"], "the hub's own needs are fixed"


def test_queued_job_starts_suspended() -> None:
    job = lab(Settings(cluster_queue="q"))
    assert (job["spec"]["suspend"], job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]) == (True, "aar")
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]
    assert "suspend" not in lab(Settings())["spec"]


def test_models_are_mounted_where_methods_train_and_nowhere_else() -> None:
    pod = lab(Settings(model_dir="/models", model_volume={"image": {"reference": "models:1"}}))["spec"]["template"][
        "spec"
    ]
    mounted = [
        one["name"] for one in (*pod["initContainers"], *pod["containers"]) if "/models" in str(one["volumeMounts"])
    ]
    assert mounted == ["train"]


def test_no_pod_can_fill_the_disk_of_its_node() -> None:
    """Roots are read-only, so that these folders are all there is to write to."""
    settings = Settings(scratch="3Gi")
    built = [*hub.build(CAMPAIGN, settings), *researcher.build(CAMPAIGN, 0, URL, "t", settings), lab(settings)]
    pods = [one["spec"]["template"]["spec"] for one in built if "template" in one.get("spec", {})]
    assert len(pods) == 3
    for pod in pods:
        for one in (*pod.get("initContainers", []), *pod["containers"]):
            assert one["securityContext"]["readOnlyRootFilesystem"] is True
        folders = {one["name"]: one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one}
        assert all(one["sizeLimit"].endswith("Gi") for one in folders.values())
        assert folders.get("work", {"sizeLimit": "3Gi"})["sizeLimit"] == "3Gi"


def test_credentials_of_registries_are_for_the_kubelet_of_every_part() -> None:
    settings = Settings(pull_secrets={"mine": "{}"})
    for part in ("hub", "baseline", "r0"):
        made = namespace.build(CAMPAIGN, part, settings)
        secret, account = (next(one for one in made if one["kind"] == kind) for kind in ("Secret", "ServiceAccount"))
        assert (secret["type"], secret["stringData"]) == ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "{}"})
        assert account["imagePullSecrets"] == [{"name": secret["metadata"]["name"]}]
        assert made.index(secret) < made.index(account)
    assert "imagePullSecrets" not in str(namespace.build(CAMPAIGN, "r0", Settings()))


VOLUMES = {
    "none": (None, {}, "2"),
    "an image, which is no claim": ({"image": {"reference": "models:1"}}, {}, "2"),
    "a claim for each pod": ({"ephemeral": {}}, {}, None),
    "a claim for each pod, counted by the values": ({"ephemeral": {}}, {"persistentvolumeclaims": "50"}, "50"),
}


@pytest.mark.parametrize("case", VOLUMES)
def test_quota_of_claims(case: str) -> None:
    volume, quota, most = VOLUMES[case]
    settings = Settings(model_dir="/models", model_volume=volume, sandbox_quota=quota)
    made = next(one for one in namespace.build(CAMPAIGN, "r0", settings) if one["kind"] == "ResourceQuota")
    assert made["spec"]["hard"].get("persistentvolumeclaims") == most
    assert made["spec"]["hard"]["pods"] == "200"


def test_one_machine_keeps_its_names() -> None:
    pod = lab(Settings(one_machine=True))["spec"]["template"]["spec"]
    assert not {"hostAliases", "dnsPolicy"} & set(pod)
    assert URL in str(pod)


def test_the_probe_tries_the_operators_port_the_api_server_and_the_outside() -> None:
    settings = Settings(api_server="10.96.0.1:443", probe_targets=("1.1.1.1:443",))
    pod = isolation.build(CAMPAIGN, "r0", URL, settings)["spec"]["template"]["spec"]
    command = pod["containers"][0]["command"]
    assert command[3:] == ["--open", "hub:8080", "--closed", "hub:8081", "10.96.0.1:443", "1.1.1.1:443"]
    assert pod["hostAliases"][0]["ip"] == "10.96.0.9"
    assert "dnsPolicy" not in pod, "it must see whether the cluster's DNS answers"


BAD = {
    "no number": ({"AAR_WORKERS": "x"}, "AAR_WORKERS is 'x', but it is a whole number of at least 1"),
    "too small": ({"AAR_RELIST_SECONDS": "0"}, "AAR_RELIST_SECONDS is '0'"),
    "no JSON": ({"AAR_TOLERATIONS": "["}, "AAR_TOLERATIONS is '[', which is no JSON"),
    "another JSON": ({"AAR_NODE_SELECTOR": "[]"}, "must be an object in JSON"),
    "unknown level": ({"AAR_LOG_LEVEL": "LOUD"}, "one of DEBUG, INFO, WARNING, ERROR"),
    "unknown isolation": ({"AAR_ISOLATION": "Off"}, "one of Required, Reported"),
    "limit below zero": ({"AAR_NAMESPACE_LIMITS": '{"a": {"gpus": -1}}'}, "AAR_NAMESPACE_LIMITS is"),
    "missing credentials": (
        {"AAR_PULL_SECRETS": '{"a": "/nowhere"}'},
        "AAR_PULL_SECRETS is '/nowhere', which cannot be read",
    ),
    "missing file": (
        {"AAR_PROVIDER_KEY_FILE": "/nowhere"},
        "AAR_PROVIDER_KEY_FILE is '/nowhere', which cannot be read",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_settings_that_break_a_rule(case: str) -> None:
    environment, words = BAD[case]
    with pytest.raises(settings_module.InvalidInput) as caught:
        settings_module.read(environment)
    assert words in str(caught.value)


def test_every_variable_is_documented() -> None:
    root = Path(__file__).parents[2]
    source = (root / "operator/aar_operator/settings.py").read_text()
    table = (root / "docs/operator-settings.md").read_text()
    names = set(re.findall(r'"(AAR_[A-Z_]+)"', source))
    assert names == set(re.findall(r"^\| `(AAR_[A-Z_]+)`", table, re.M))


WHERE = {
    "in a pod": (
        Settings(image_lab="lab@sha256:1", image_hub="hub@sha256:2"),
        {"AAR_HUB_HOST": "0.0.0.0", "AAR_HUB_LAB_VERSION": "lab@sha256:1", "AAR_HUB_VERSION": "hub@sha256:2"},
    ),
    "on one machine": (Settings(one_machine=True), {}),
}


@pytest.mark.parametrize("case", WHERE)
def test_where_the_hub_listens_and_which_lab_it_has(case: str) -> None:
    settings, wanted = WHERE[case]
    deployment = next(one for one in hub.build(CAMPAIGN, settings) if one["kind"] == "Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    found = {one["name"]: one.get("value") for one in env}
    told = ("AAR_HUB_HOST", "AAR_HUB_LAB_VERSION", "AAR_HUB_VERSION")
    assert {name: found[name] for name in told if name in found} == wanted
