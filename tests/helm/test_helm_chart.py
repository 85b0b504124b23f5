"""What the chart renders, what its schema refuses, and that the files made from code are current."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from aar_api import schema
from aar_api.campaign import parse
from aar_operator.cluster import kinds
from aar_operator.manifests import hub
from aar_operator.settings import Settings
from dashboards import __main__ as dashboards
from helm.charttools import CHART, ROOT, only, render, run

VALUE_FILES = sorted((CHART / "ci").glob("*.yaml"))
EVERYTHING = CHART / "ci" / "everything-values.yaml"


@pytest.mark.parametrize("values", [None, *VALUE_FILES], ids=["defaults", *(path.stem for path in VALUE_FILES)])
def test_lint(values: Path | None) -> None:
    done = run("lint", "--strict", CHART, *([] if values is None else ["--values", values]))
    assert done.returncode == 0, done.stdout + done.stderr


REFUSED = {
    "a word for a number": ("operator: {replicas: two}", "/operator/replicas"),
    "no replica": ("operator: {replicas: 0}", "minimum: got 0, want 1"),
    "a typing error": ("operator: {replica: 3}", "'replica' not allowed"),
    "a cache that no hub could reach": ('cache: {url: "s3://bucket"}', "'cache' not allowed"),
    "an unknown part": ("webhook: {enabled: true}", "'webhook' not allowed"),
    "the key itself": ("provider: {apiKey: sk-1}", "'apiKey' not allowed"),
    "a price that is no text": ("prices: {gpu: 2.5}", "/prices/gpu"),
    "a price with a sign": ('prices: {gpu: "$2.50"}', "/prices/gpu"),
    "a digest too short": ("images: {lab: {repository: lab, digest: sha256:00}}", "/images/lab/digest"),
    "an image without a name": ('images: {lab: {repository: ""}}', "/images/lab/repository"),
    "a pull policy": ("images: {pullPolicy: Sometimes}", "/images/pullPolicy"),
    "a volume that sandboxes may not mount": (
        "models: {dir: /m, volume: {hostPath: {path: /}}}",
        "'hostPath' not allowed",
    ),
    "a volume without a folder": ("models: {volume: {image: {reference: x}}}", "/models/dir"),
    "more seeds than a status holds": ("admission: {ceilings: {seeds: 33}}", "/admission/ceilings/seeds"),
    "a ceiling that there is not": ("admission: {namespaceCeilings: {a: {agents: 3}}}", "'agents' not allowed"),
    "a user that would end the expression": ('admission: {operatorUsers: ["x\']"]}', "/admission/operatorUsers/0"),
    "a limit of a namespace": ("namespaceLimits: {team: {usdPerMonth: 5}}", "/namespaceLimits/team/usdPerMonth"),
    "a probe without a port": ("isolation: {probeTargets: [1.1.1.1]}", "/isolation/probeTargets/0"),
    "a port that there is not": ('isolation: {probeTargets: ["1.1.1.1:65536"]}', "/isolation/probeTargets/0"),
    "port 0": ('isolation: {probeTargets: ["1.1.1.1:0"]}', "/isolation/probeTargets/0"),
    "a name that no object can have": ("fullnameOverride: Aar_1", "/fullnameOverride"),
    "a name that begins with a digit": ('nameOverride: "1"', "/nameOverride"),
    "a label of the chart's": ("commonLabels: {app.kubernetes.io/name: mine}", "propertyName 'app.kubernetes.io/name'"),
    "a class of the system's": ("admission: {priorityClasses: [system-node-critical]}", "/admission/priorityClasses/0"),
    "a default class of the system's": ("sandbox: {priorityClassName: system-x}", "/sandbox/priorityClassName"),
    "no probe": ("isolation: {probeTargets: []}", "/isolation/probeTargets"),
    "a way to uninstall": ("uninstall: {campaigns: Forget}", "'Refuse', 'Delete'"),
    "a share above one": (
        "metrics: {prometheusRule: {budgetUsedRatio: 90}}",
        "/metrics/prometheusRule/budgetUsedRatio",
    ),
    "monitors of what lets no Prometheus in": (
        "metrics: {podMonitor: {enabled: true}}",
        "metrics.monitoringNamespace is empty, so that no Prometheus is let through to the hubs",
    ),
    "an account nobody names": ("serviceAccount: {create: false}", "serviceAccount.name has to name an account"),
}


@pytest.mark.parametrize(("values", "told"), REFUSED.values(), ids=REFUSED)
def test_values_refused(tmp_path: Path, values: str, told: str) -> None:
    (tmp_path / "values.yaml").write_text(values)
    done = run("template", "aar", CHART, "--values", tmp_path / "values.yaml")
    assert done.returncode != 0
    assert told in done.stderr


def test_every_value_has_a_place_in_the_schema() -> None:
    """The defaults name every switch, so that `helm show values` is the reference."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    described = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(described) - {"global"} == set(values)
    for name, part in described.items():
        if part.get("additionalProperties") is False:
            assert set(part["properties"]) == set(values[name]), name


def test_files_made_from_code_are_current() -> None:
    assert schema.stale(CHART / "files" / "crds") == []
    assert dashboards.stale(CHART / "dashboards") == []


def test_the_operator_is_restricted() -> None:
    objects = render()
    for kind in ("Deployment", "Job"):
        pod = only(objects, kind)["spec"]["template"]["spec"]
        container = pod["containers"][0]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    deployment = only(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def _environment(*arguments: str | Path) -> dict[str, str]:
    container = only(render(*arguments), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_images() -> None:
    zeros = f"sha256:{'0' * 64}"
    given = _environment(
        *(
            "--set",
            "images.registry=r.example.com",
            "--set",
            f"images.agent.digest={zeros}",
            "--set",
            "images.lab.tag=v2",
        )
    )
    assert given["AAR_IMAGE_HUB"] == "r.example.com/aar-operator:0.1.0"
    assert given["AAR_IMAGE_AGENT"] == f"r.example.com/aar-agent@{zeros}"
    assert given["AAR_IMAGE_LAB"] == "r.example.com/aar-lab:v2"


def test_the_provider_is_a_reference() -> None:
    """The key is mounted from its Secret, so that rotating it needs no new pod; nothing of it is in the chart's objects."""
    deployment = only(render("--values", EVERYTHING), "Deployment")["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in deployment["volumes"]}
    assert volumes["provider"]["secret"]["secretName"] == "provider"
    assert volumes["ca"]["configMap"]["name"] == "company-ca"
    given = _environment("--values", EVERYTHING)
    assert given["AAR_PROVIDER_KEY_FILE"] == "/etc/aar/provider/key"
    assert given["AAR_PROVIDER_CA_FILE"] == "/etc/aar/ca/ca.crt"
    assert "AAR_PROVIDER_KEY_FILE" not in _environment()


def test_pull_secrets_reach_the_pods_of_the_chart_and_the_operator() -> None:
    objects = render("--values", EVERYTHING)
    for kind in ("Deployment", "Job"):
        assert only(objects, kind)["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    path = json.loads(_environment("--values", EVERYTHING)["AAR_PULL_SECRETS"])["registry"]
    mounts = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes[mounts[str(Path(path).parent)]]["secret"]["secretName"] == "registry"


def test_names_that_look_like_numbers_stay_names() -> None:
    """Kubernetes takes them; YAML would read a number, which the API server refuses."""
    names = ("serviceAccount.name", "operator.priorityClassName", "provider.existingSecret", "provider.caConfigMap")
    chosen = [*(f"{name}=1234" for name in names), "images.pullSecrets={1234}"]
    objects = render(*(part for one in chosen for part in ("--set-string", one)))
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    sources = [one.get("secret", one.get("configMap")) for one in pod["volumes"] if "emptyDir" not in one]
    found = [pod["serviceAccountName"], pod["priorityClassName"], pod["imagePullSecrets"][0]["name"]]
    found += [source.get("secretName", source.get("name")) for source in sources]
    assert found == ["1234"] * 6
    subjects = [one["subjects"][0]["name"] for one in objects if one["kind"].endswith("RoleBinding")]
    assert [*subjects, only(objects, "ServiceAccount")["metadata"]["name"]] == ["1234"] * 3


def test_values_reach_the_operator() -> None:
    given = _environment("--values", EVERYTHING)
    values = yaml.safe_load(EVERYTHING.read_text())
    assert json.loads(given["AAR_GPU_TOLERATIONS"]) == values["sandbox"]["gpuTolerations"]
    assert json.loads(given["AAR_SANDBOX_LIMITS"]) == values["sandbox"]["limits"]
    assert json.loads(given["AAR_MODEL_VOLUME"]) == values["models"]["volume"]
    assert json.loads(given["AAR_NAMESPACE_LIMITS"]) == values["namespaceLimits"]
    assert given["AAR_RUNTIME_CLASS"] == "gvisor"
    assert given["AAR_CLUSTER_QUEUE"] == "research"
    assert _environment("--set", "operator.jobTTLSeconds=0")["AAR_JOB_TTL_SECONDS"] == "0"


OUTSIDE = {"AAR_HUB_URL_TEMPLATE", "AAR_PROVIDER_KEY", "AAR_CACHE_DIR"}
"""For an operator that runs outside the cluster or on one machine, which a chart does not start; in a pod a key is a file."""


def test_settings_are_the_ones_that_the_operator_reads() -> None:
    page = (ROOT / "docs" / "operator-settings.md").read_text()
    documented = set(re.findall(r"^\| `(AAR_\w+)`", page, re.M))
    given = set(_environment("--values", EVERYTHING))
    assert documented - OUTSIDE <= given
    assert given <= documented


def _granted(objects: list[dict]) -> set[tuple[str, str, str, str]]:
    """(scope, group, resource, verb) of every rule that is the operator's."""
    found = set()
    for kind, scope in (("ClusterRole", "cluster"), ("Role", "own namespace")):
        for rule in only(objects, kind, "aar-operator")["rules"]:
            for group in rule["apiGroups"]:
                found |= {(scope, group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"]}
    return found


def _documented(text: str) -> set[tuple[str, str, str, str]]:
    found = set()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if len(cells) == 5 and cells[0].startswith(("cluster", "own namespace")):
            scope, group, resources, verbs, why = cells
            assert why, line
            core = "" if group == "core" else group
            found |= {(scope.split(",")[0], core, r, v) for r in resources.split(", ") for v in verbs.split(", ")}
    return found


def test_the_operators_rules_are_the_documented_ones() -> None:
    granted = _granted(render("--set", "kueue.clusterQueue=research"))
    assert granted == _documented((ROOT / "docs" / "rbac.md").read_text())
    assert _granted(render()) == {one for one in granted if one[1] != "kueue.x-k8s.io"}


@pytest.mark.parametrize("queue", ["", "research"], ids=["without Kueue", "with Kueue"])
def test_the_operator_may_list_and_watch_what_it_keeps(queue: str) -> None:
    """One kind that may not be watched ends the process that watches them all."""
    granted = _granted(render("--set", f"kueue.clusterQueue={queue}"))
    for kind in kinds.kept(with_queues=bool(queue)):
        for verb in ("list", "watch"):
            assert ("cluster", kind.group, kind.plural, verb) in granted


def test_no_rule_is_a_way_up() -> None:
    for one in render("--values", EVERYTHING):
        if one["kind"] in ("ClusterRole", "Role"):
            for rule in one["rules"]:
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
                assert not {"pods/exec", "nodes", "clusterroles", "roles", "rolebindings"} & set(rule["resources"])


@pytest.mark.parametrize(
    ("role", "label"), [("viewer", "view"), ("editor", "edit"), ("editor", "admin")], ids=["view", "edit", "admin"]
)
def test_roles_of_people_aggregate(role: str, label: str) -> None:
    name = f"rbac.authorization.k8s.io/aggregate-to-{label}"
    assert only(render(), "ClusterRole", f"aar-{role}")["metadata"]["labels"][name] == "true"
    assert name not in only(render("--set", "rbac.aggregate=false"), "ClusterRole", f"aar-{role}")["metadata"]["labels"]


def test_crds_stay_unless_the_values_say_otherwise() -> None:
    for arguments, kept in (((), True), (("--set", "crds.keep=false"), False)):
        crds = [one for one in render(*arguments) if one["kind"] == "CustomResourceDefinition"]
        assert len(crds) == 2
        assert all(("helm.sh/resource-policy" in one["metadata"].get("annotations", {})) is kept for one in crds)


def test_prometheus_finds_operators_and_hubs() -> None:
    objects = render("--values", EVERYTHING)
    campaign = parse(
        {
            "apiVersion": "aar.dev/v1alpha1",
            "kind": "ResearchCampaign",
            "metadata": {"name": "one", "uid": "u"},
            "spec": {"task": {"name": "chat"}, "budget": {"limitUSD": "1"}},
        }
    )
    deployments = {
        "aar-operator": only(objects, "Deployment"),
        "aar-hubs": only(hub.build(campaign, Settings()), "Deployment"),
    }
    for name, deployment in deployments.items():
        monitor, template = only(objects, "PodMonitor", name)["spec"], deployment["spec"]["template"]
        assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports


def test_dashboards_are_loaded() -> None:
    pages = [one for one in render("--values", EVERYTHING) if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    files = {name: json.loads(text) for one in pages for name, text in one["data"].items()}
    assert set(files) == {"aar-campaign.json", "aar-fleet.json"}
    for page in files.values():
        ids = [panel["id"] for panel in page["panels"]]
        assert len(ids) == len(set(ids))
        for panel in page["panels"]:
            letters = [target["refId"] for target in panel.get("targets", [])]
            assert len(letters) == len(set(letters))


def test_notes_say_what_comes_next(tmp_path: Path) -> None:
    done = run("install", "aar", CHART, "--namespace", "aar-system", "--dry-run=client")
    assert done.returncode == 0, done.stderr
    assert "kubectl -n research apply -f examples/quickstart.yaml" in done.stdout
    assert "No provider key is set" in done.stdout
    assert "sandbox.runtimeClassName is empty" in done.stdout
    quiet = run("install", "aar", CHART, "--dry-run=client", "--values", EVERYTHING)
    assert "No provider key" not in quiet.stdout
    assert "uninstall.campaigns is Delete" in quiet.stdout
