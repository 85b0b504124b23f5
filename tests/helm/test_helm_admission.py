"""What the API server refuses, by the chart's policies: a table against a real one."""

from __future__ import annotations

import copy
import time

import pytest
from helm.apiserver import Api, path_of

from helm import charttools

OPERATOR = "system:serviceaccount:aar-system:aar"
ALICE = "alice"
DEVELOPER = "dev"
"""Counts as the operator by admission.operatorUsers, but is not confined."""
VALUES = {
    "admission.ceilings.researchers": "4",
    "admission.ceilings.gpus": "8",
    "admission.ceilings.budgetUSD": "100",
    "admission.ceilings.experiments": "50",
    "admission.ceilings.seeds": "10",
    "admission.namespaceCeilings.team-b.budgetUSD": "500.50",
    "admission.priorityClasses": "{research}",
    "admission.operatorUsers": f"{{{DEVELOPER}}}",
    "sandbox.priorityClassName": "low",
}
APPLIED = (
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
)
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def namespace(name: str, **labels: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def campaign(name: str = "one", namespace: str = "team-a", **spec: object) -> dict:
    base = {
        "task": {"name": "chat"},
        "budget": {"limitUSD": "5.00"},
        "experiments": {"maxCount": 20, "parallelism": 2},
        **spec,
    }
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "aar.dev/v1alpha1", "kind": "ResearchCampaign", "metadata": meta, "spec": base}


def experiment(name: str = "mine", **spec: object) -> dict:
    meta = {"name": name, "namespace": "team-a"}
    base = {"campaignRef": "one", "method": {"builtin": "hard-labels"}, **spec}
    return {"apiVersion": "aar.dev/v1alpha1", "kind": "Experiment", "metadata": meta, "spec": base}


def secret(namespace: str) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": namespace}}


def config_map(namespace: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "books", "namespace": namespace}}


FORGED = {"researcher": "r0", "key": "1"}
HUBS = {"researcher": "hub", "key": "1"}
OURS = {"app.kubernetes.io/managed-by": "aar-operator"}


@pytest.fixture(scope="module")
def cluster(api: Api) -> Api:
    """The chart's policies, people and namespaces; returns when the policies are enforced."""
    for one in ("aar-system", "team-a", "team-b"):
        api.must(namespace(one))
    objects = charttools.render("--set", _numbers(), "--set-string", _texts())
    for kind in (*APPLIED, *POLICIES):
        for one in objects:
            if one["kind"] == kind:
                api.must(one)
    for space in ("team-a", "team-b"):
        api.must(_bind(space, ALICE, "aar-editor"))
    _wait_until_enforced(api)
    made = api.create(namespace("one-1234-hub", **OURS), user=OPERATOR)
    assert made.is_success, made.text
    return api


def _numbers() -> str:
    return ",".join(f"{key}={value}" for key, value in VALUES.items() if "USD" not in key)


def _texts() -> str:
    return ",".join(f"{key}={value}" for key, value in VALUES.items() if "USD" in key)


def _bind(space: str, user: str, role: str) -> dict:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user, "namespace": space},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": group, "name": user}],
    }


def _wait_until_enforced(api: Api) -> None:
    """Policies and kinds take a moment to be known; each is asked for until it bites."""
    probes = [
        lambda: api.create(campaign("probe", budget={"limitUSD": "999999"}), dryRun="All"),
        lambda: api.create(experiment("probe", seeds=32), user=ALICE, dryRun="All"),
        lambda: api.create(experiment("probe", submittedBy=FORGED), user=ALICE, dryRun="All"),
        lambda: api.create(namespace("probe", **{"aar.dev/part": "hub"}), dryRun="All"),
        lambda: api.create(secret("team-a"), user=OPERATOR, dryRun="All"),
        lambda: api.create(namespace("probe"), user=OPERATOR, dryRun="All"),
    ]
    until = time.monotonic() + 60
    while probes:
        probes = [probe for probe in probes if "ValidatingAdmissionPolicy" not in probe().text]
        assert time.monotonic() < until, "the policies are not enforced"
        time.sleep(0.2)


CREATED = {
    "campaign within ceilings": (ALICE, campaign(), ""),
    "researchers at the ceiling": (ALICE, campaign(researchers={"count": 4}), ""),
    "researchers": (
        ALICE,
        campaign(researchers={"count": 5}),
        "spec.researchers.count is 5, but one campaign may have at most 4 researchers",
    ),
    "gpus": (
        ALICE,
        campaign(experiments={"maxGPUs": 9}),
        "spec.experiments.maxGPUs is 9, but one campaign may use at most 8 GPUs at once",
    ),
    "budget": (
        ALICE,
        campaign(budget={"limitUSD": "100.01"}),
        "spec.budget.limitUSD is 100.01, but one campaign may spend at most 100 USD here: ask for less, or have admission.ceilings.budgetUSD",
    ),
    "budget of another namespace": (ALICE, campaign(namespace="team-b", budget={"limitUSD": "500.50"}), ""),
    "budget above that": (
        ALICE,
        campaign(namespace="team-b", budget={"limitUSD": "500.51"}),
        "spec.budget.limitUSD is 500.51, but one campaign may spend at most 500.50 USD",
    ),
    "experiments": (
        ALICE,
        campaign(experiments={"maxCount": 51}),
        "spec.experiments.maxCount is 51, but one campaign may run at most 50",
    ),
    "a priority class": (
        ALICE,
        campaign(priorityClassName="system-node-critical"),
        "spec.priorityClassName is system-node-critical, but campaigns may name low, research here: leave it out",
    ),
    "a priority class that the values name": (ALICE, campaign(priorityClassName="research"), ""),
    "the default priority class": (ALICE, campaign(priorityClassName="low"), ""),
    "default of experiments": (ALICE, campaign(experiments={}), "spec.experiments.maxCount is 200"),
    "seeds of verification": (
        ALICE,
        campaign(evaluation={"replication": {"seeds": 11}}),
        "spec.evaluation.replication.seeds is 11, but one experiment may run at most 10 seeds",
    ),
    "seeds of baselines": (ALICE, campaign(evaluation={"baselineSeeds": 12}), "spec.evaluation.baselineSeeds is 12"),
    "ceilings bind administrators too": (None, campaign(researchers={"count": 5}), "at most 4 researchers"),
    "own experiment": (ALICE, experiment(), ""),
    "own smoke test": (ALICE, experiment(purpose="Smoke"), ""),
    "forged submitter": (
        ALICE,
        experiment(submittedBy=FORGED),
        "spec.submittedBy is r0, but only the operator may write it: leave it as it was, or out of a new experiment",
    ),
    "forged submitter, by an administrator": (None, experiment(submittedBy=FORGED), "only the operator may write it"),
    "forged baseline": (
        ALICE,
        experiment(purpose="Baseline"),
        "spec.purpose is Baseline, but only the operator may set it to anything but Exploration or Smoke: leave it out",
    ),
    "forged replication": (ALICE, experiment(purpose="Replication"), "spec.purpose is Replication"),
    "forged replicates": (ALICE, experiment(replicates="other"), "spec.replicates is other, but only the operator"),
    "forged control": (
        ALICE,
        experiment(control="NoWeakLabels"),
        "spec.control is NoWeakLabels, but only the operator",
    ),
    "seeds of an experiment": (
        ALICE,
        experiment(seeds=11),
        "spec.seeds is 11, but one experiment may run at most 10 seeds",
    ),
    "gpus of an experiment": (
        ALICE,
        experiment(seeds=3, resources={"gpus": 3}),
        "spec.seeds times spec.resources.gpus is 9, but one experiment may use at most 8 GPUs",
    ),
    "operator's replication": (
        OPERATOR,
        experiment(purpose="Replication", submittedBy=FORGED, replicates="x", seeds=20),
        "",
    ),
    "operator in its namespace": (OPERATOR, secret("one-1234-hub"), ""),
    "operator in a user's namespace": (
        OPERATOR,
        secret("team-a"),
        "The operator tried to CREATE secrets in namespace team-a, but it may write only in namespaces that it made",
    ),
    "operator's books": (OPERATOR, config_map("aar-system"), ""),
    "operator in the system's namespace": (
        OPERATOR,
        config_map("kube-system"),
        "may write only in namespaces that it made",
    ),
    "operator's namespace": (OPERATOR, namespace("one-1234-r0", **OURS), ""),
    "operator's namespace without its label": (OPERATOR, namespace("other"), "may touch only namespaces that it made"),
    "a person's namespace": (None, namespace("mine", team="a"), ""),
    "a namespace with the operator's label": (
        None,
        namespace("mine", **OURS),
        "Label app.kubernetes.io/managed-by is set on namespace mine, but only the operator may set it",
    ),
    "a namespace with a label of ours": (
        None,
        namespace("mine", **{"aar.dev/campaign-uid": "1"}),
        "Label aar.dev/campaign-uid is set",
    ),
}


@pytest.mark.parametrize(("user", "manifest", "told"), CREATED.values(), ids=CREATED)
def test_create(cluster: Api, user: str | None, manifest: dict, told: str) -> None:
    answer = cluster.create(manifest, user=user, dryRun="All")
    if told:
        assert answer.status_code in (403, 422), answer.text
        assert told in answer.json()["message"]
    else:
        assert answer.is_success, answer.text


UPDATED = {
    "hypothesis": (ALICE, experiment(seeds=2), {"spec": {"hypothesis": "it helps"}}, ""),
    "cancel": (ALICE, experiment(), {"spec": {"desiredState": "Cancelled"}}, ""),
    "cancel a replication": (
        ALICE,
        experiment(purpose="Replication", replicates="x", submittedBy=FORGED),
        {"spec": {"desiredState": "Cancelled"}},
        "",
    ),
    "take over": (
        ALICE,
        experiment(submittedBy=FORGED),
        {"spec": {"submittedBy": {"researcher": "r1"}}},
        "submittedBy",
    ),
    "sign later": (ALICE, experiment(), {"spec": {"submittedBy": FORGED}}, "submittedBy"),
    "unsign": (ALICE, experiment(submittedBy=FORGED), {"spec": {"submittedBy": None}}, "submittedBy"),
    "cancel a run of the hub's": (
        ALICE,
        experiment(purpose="Control", submittedBy=HUBS),
        {"spec": {"desiredState": "Cancelled"}},
        "spec.desiredState is Cancelled, but the hub asked for this run (Control): only the operator may cancel it",
    ),
    "suspend a run of the hub's": (
        ALICE,
        experiment(purpose="Control", submittedBy=HUBS),
        {"spec": {"desiredState": "Suspended"}},
        "",
    ),
    "cancel a researcher's": (ALICE, experiment(submittedBy=FORGED), {"spec": {"desiredState": "Cancelled"}}, ""),
    "become a baseline": (ALICE, experiment(), {"spec": {"purpose": "Baseline"}}, "purpose"),
    "spoil the control": (ALICE, experiment(control="NoWeakLabels"), {"spec": {"control": None}}, "control"),
    "label a forged one": (ALICE, experiment(submittedBy=FORGED), {"metadata": {"labels": {"mine": "yes"}}}, ""),
    "raise the budget": (ALICE, campaign(), {"spec": {"budget": {"limitUSD": "100"}}}, ""),
    "raise it too far": (ALICE, campaign(), {"spec": {"budget": {"limitUSD": "101"}}}, "spec.budget.limitUSD is 101"),
}


@pytest.mark.parametrize(("user", "manifest", "patch", "told"), UPDATED.values(), ids=UPDATED)
def test_update(cluster: Api, user: str, manifest: dict, patch: dict, told: str) -> None:
    own = copy.deepcopy(manifest)
    own["metadata"]["name"] = f"changed-{list(UPDATED).index(next(k for k, v in UPDATED.items() if v[2] is patch))}"
    maker = OPERATOR if manifest["kind"] == "Experiment" else ALICE
    path = f"{path_of(own)}/{own['metadata']['name']}"
    made = cluster.create(own, user=maker)
    assert made.is_success, made.text
    try:
        answer = cluster.call("PATCH", path, patch, user=user)
        if told:
            assert answer.status_code in (403, 422), answer.text
            assert told in answer.json()["message"]
        else:
            assert answer.is_success, answer.text
    finally:
        assert cluster.call("DELETE", path).is_success


STATUS = {"status": {"phase": "Complete"}}


@pytest.mark.parametrize(
    ("user", "allowed"), [(OPERATOR, True), (ALICE, False), (None, False)], ids=["operator", "editor", "administrator"]
)
def test_status_is_the_operators(cluster: Api, user: str | None, allowed: bool) -> None:
    own = campaign("with-status")
    path = f"{path_of(own)}/with-status"
    assert cluster.create(own, user=ALICE).is_success
    try:
        answer = cluster.call("PATCH", f"{path}/status", STATUS, user=user)
        assert answer.is_success is allowed, answer.text
        if user is None:
            assert "status was written by admin, but only the operator may write it" in answer.json()["message"]
    finally:
        assert cluster.call("DELETE", path).is_success


def test_a_campaign_above_a_lowered_ceiling_can_be_finalised(cluster: Api) -> None:
    """Its finalizer is taken off by an update: a policy that refused it would keep the campaign for ever."""
    own = campaign("rich", researchers={"count": 4})
    own["metadata"]["finalizers"] = ["aar.dev/cleanup"]
    path = f"{path_of(own)}/rich"
    assert cluster.create(own, user=ALICE).is_success
    _set_ceilings(cluster, "--set", "admission.ceilings.researchers=1")
    try:
        _until_refused(cluster, campaign("probe", researchers={"count": 4}))
        more = cluster.call("PATCH", path, {"spec": {"researchers": {"count": 5}}}, user=ALICE)
        assert "at most 1 researchers" in more.text
        assert cluster.call("PATCH", path, {"spec": {"researchers": {"count": 3}}}, user=ALICE).is_success
        assert cluster.call("DELETE", path, user=ALICE).is_success
        assert cluster.call("PATCH", path, {"metadata": {"finalizers": None}}, user=OPERATOR).is_success
        assert cluster.call("GET", path).status_code == 404
    finally:
        _set_ceilings(cluster, "--set", _numbers(), "--set-string", _texts())


def _set_ceilings(cluster: Api, *values: str) -> None:
    cluster.must(charttools.only(charttools.render(*values), "ValidatingAdmissionPolicy", "aar-campaign-ceilings"))


def _until_refused(cluster: Api, manifest: dict) -> None:
    until = time.monotonic() + 30
    while cluster.create(manifest, dryRun="All").is_success:
        assert time.monotonic() < until, "the new ceiling is not known"
        time.sleep(0.2)


def test_operator_may_delete_what_is_its_own(cluster: Api) -> None:
    assert cluster.create(secret("one-1234-hub"), user=OPERATOR).is_success
    assert cluster.call("DELETE", "/api/v1/namespaces/one-1234-hub/secrets/token", user=OPERATOR).is_success
    assert cluster.call("DELETE", "/api/v1/namespaces/one-1234-hub", user=OPERATOR, dryRun="All").is_success


def test_operator_may_not_touch_a_foreign_namespace(cluster: Api) -> None:
    for method, path, body in [
        ("PATCH", "/api/v1/namespaces/team-a", {"metadata": {"labels": OURS}}),
        ("DELETE", "/api/v1/namespaces/team-a", None),
    ]:
        answer = cluster.call(method, path, body, user=OPERATOR)
        assert answer.status_code == 403
        assert "may touch only namespaces that it made" in answer.text


SPACE = "/api/v1/namespaces/one-1234-r1"
LOST = {
    "taken away": {"app.kubernetes.io/managed-by": None},
    "overwritten": {"app.kubernetes.io/managed-by": "someone"},
    "of another campaign": {"aar.dev/campaign-uid": "2"},
    "no campaign's": {"aar.dev/campaign-uid": None},
}


@pytest.mark.parametrize("change", LOST.values(), ids=LOST)
def test_labels_of_the_operators_namespaces_stay(cluster: Api, change: dict) -> None:
    one = namespace("one-1234-r1", **OURS, **{"aar.dev/campaign-uid": "1"})
    assert cluster.create(one, user=OPERATOR).status_code in (201, 409)
    answer = cluster.call("PATCH", SPACE, {"metadata": {"labels": change}}, dryRun="All")
    assert answer.status_code == 422, answer.text
    (label, value), told = next(iter(change.items())), answer.json()["message"]
    forged = value is not None and label.startswith("aar.dev/")
    assert f"Label {label} {'is set on' if forged else 'of'} namespace one-1234-r1" in told
    other = {"metadata": {"labels": {"team": "a", "pod-security.kubernetes.io/warn": None}}}
    assert cluster.call("PATCH", SPACE, other, dryRun="All").is_success


def test_the_operator_puts_its_label_back_and_may_delete(cluster: Api) -> None:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "aar-operator"}
    bound = _bind("", DEVELOPER, "aar-operator") | {"kind": "ClusterRoleBinding", "roleRef": role}
    bound["metadata"] = {"name": DEVELOPER}
    cluster.must(bound)
    drifted, path = namespace("one-1234-r2", **{"aar.dev/campaign-uid": "1"}), "/api/v1/namespaces/one-1234-r2"
    until = time.monotonic() + 30
    while not (answer := cluster.create(drifted, user=DEVELOPER)).is_success:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    assert cluster.call("DELETE", path, user=OPERATOR, dryRun="All").is_success
    answer = cluster.call("PATCH", path, {"metadata": {"labels": OURS}}, user=OPERATOR)
    assert answer.is_success, answer.text


def test_what_roles_allow(cluster: Api) -> None:
    """The policies stand behind RBAC, not in place of it."""
    cluster.must(_bind("team-a", "victor", "aar-viewer"))
    until = time.monotonic() + 30  # the authorizer learns of a new binding by a watch
    while not (answer := cluster.call("GET", path_of(campaign()), user="victor")).is_success:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    assert cluster.create(campaign("no"), user="victor").status_code == 403
    assert cluster.create(campaign("no"), user="nobody").status_code == 403
    assert cluster.call("GET", "/api/v1/namespaces/team-a/secrets", user=ALICE).status_code == 403
    assert cluster.call("GET", "/api/v1/nodes", user=OPERATOR).status_code == 403
