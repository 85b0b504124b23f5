"""The CRDs on a real API server: what it takes, what it refuses and with which words, defaults, columns."""

from __future__ import annotations

import pytest
from kube import world
from kube.world import Api

pytestmark = pytest.mark.usefixtures("kubernetes")
"""Rules in CEL, columns and OpenAPI are the API server's own."""

CASES = {
    "long name": (world.campaign("n", "a" * 41), "metadata.name must be at most 40 characters"),
    "name with a dot": (world.campaign("n", "a.b"), "metadata.name must be an RFC 1035 label"),
    "name that begins with a digit": (world.campaign("n", "1a"), "metadata.name must be an RFC 1035 label"),
    "no task": ({**world.campaign("n"), "spec": {"budget": {"limitUSD": "1"}}}, "spec.task: Required value"),
    "no budget": ({**world.campaign("n"), "spec": {"task": {"name": "chat"}}}, "spec.budget: Required value"),
    "budget of nothing": (world.campaign("n", budget={"limitUSD": "0"}), "limitUSD must be greater than 0"),
    "budget with a sign": (world.campaign("n", budget={"limitUSD": "-1"}), "spec.budget.limitUSD in body should match"),
    "budget as a number": (world.campaign("n", budget={"limitUSD": 1}), "spec.budget.limitUSD in body must be of type string"),
    "part of the budget exceeds it": (
        world.campaign("n", budget={"limitUSD": "1", "llmLimitUSD": "2"}),
        "llmLimitUSD cannot exceed limitUSD",
    ),
    "parallelism exceeds count": (
        world.campaign("n", experiments={"parallelism": 5, "maxCount": 4}),
        "experiments.parallelism cannot exceed experiments.maxCount",
    ),
    "a researcher with a GPU": (
        world.campaign("n", researchers={"resources": {"gpus": 1}}),
        "spec.researchers.resources.gpus in body should be less than or equal to 0",
    ),
    "a seed with more GPUs than the campaign": (
        world.campaign("n", experiments={"resources": {"gpus": 2}, "maxGPUs": 1}),
        "experiments.resources.gpus, those of one seed, cannot exceed experiments.maxGPUs",
    ),
    "a parameter that is an object": (
        world.campaign("n", task={"name": "chat", "params": {"head": {"a": 1}}}),
        "spec.task.params.head: Too many",
    ),
    "a parameter that is a list": (
        world.campaign("n", evaluation={"transferTasks": [{"name": "chat", "params": {"head": [1]}}]}),
        "params.head: Too many",
    ),
    "a hyper-parameter that is a book": (
        world.experiment("n", method={"builtin": "a", "config": {"x": "a" * 4097}}),
        "spec.method.config.x: Too long: may not be more than 4096 bytes",
    ),
    "too many researchers": (world.campaign("n", researchers={"count": 65}), "should be less than or equal to 64"),
    "no method": ({**world.experiment("n"), "spec": {"campaignRef": "c"}}, "spec.method: Required value"),
    "method of nothing": (world.experiment("n", method={}), "exactly one of builtin, snapshot, inline and configMap"),
    "two methods": (
        world.experiment("n", method={"builtin": "a", "inline": "x"}),
        "exactly one of builtin, snapshot, inline and configMap",
    ),
    "too many seeds": (world.experiment("n", seeds=33), "should be less than or equal to 32"),
    "unknown state": (world.experiment("n", desiredState="Gone"), "Unsupported value"),
    "experiment with a long name": (world.experiment("n", "a" * 53), "metadata.name must be at most 52 characters"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(api: Api, space: str, case: str) -> None:
    manifest, words = CASES[case]
    answer = api.create({**manifest, "metadata": {**manifest["metadata"], "namespace": space}})
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["message"]


CHANGES = {
    "campaign's task": ("ResearchCampaign", {"task": {"name": "math"}}, "task is immutable"),
    "campaign's task parameters": ("ResearchCampaign", {"task": {"params": {"head": "lora"}}}, "task is immutable"),
    "campaign's objective": ("ResearchCampaign", {"objective": {"target": "0.5"}}, "objective is immutable"),
    "sets of weak labels": ("ResearchCampaign", {"experiments": {"seeds": 2}}, "weak labels are made once"),
    "no verification any more": (
        "ResearchCampaign",
        {"evaluation": {"replication": {"topK": 0}}},
        "weak labels are made once",
    ),
    "a queue appears": ("ResearchCampaign", {"queueName": "q"}, "queueName is immutable"),
    "experiment's method": ("Experiment", {"method": {"builtin": "other"}}, "method is immutable"),
    "experiment's configuration": ("Experiment", {"method": {"config": {"x": 2}}}, "method is immutable"),
    "experiment's seeds": ("Experiment", {"seeds": 2}, "seeds is immutable"),
    "experiment's campaign": ("Experiment", {"campaignRef": "d"}, "campaignRef is immutable"),
    "experiment's compute": ("Experiment", {"resources": {"gpus": 8}}, "resources is immutable"),
    "a deadline appears": ("Experiment", {"activeDeadlineSeconds": 99}, "activeDeadlineSeconds is immutable"),
    "a submitter appears": (
        "Experiment",
        {"submittedBy": {"researcher": "r0", "key": "k"}},
        "submittedBy is immutable",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_immutable(api: Api, space: str, case: str) -> None:
    kind, change, words = CHANGES[case]
    task = {"name": "chat", "params": {"head": "probe"}}
    manifest = world.campaign(space, task=task) if kind == "ResearchCampaign" else world.experiment(
        space, method={"builtin": "hard-labels", "config": {"x": 1}}
    )  # fmt: skip
    made = api.create(manifest)
    assert made.status_code == 201, made.text
    answer = api.patch(kind, space, manifest["metadata"]["name"], {"spec": change})
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["message"]


def test_what_may_change(api: Api, space: str) -> None:
    api.create(world.campaign(space))
    assert api.patch(
        "ResearchCampaign", space, "c", {"spec": {"budget": {"limitUSD": "9"}, "suspend": True}}
    ).is_success
    moved = {"experiments": {"seeds": 2}, "evaluation": {"replication": {"seeds": 4}}}
    assert api.patch("ResearchCampaign", space, "c", {"spec": moved}).is_success, (
        "as many sets of weak labels as before"
    )
    config = {"whole": 1, "part": 0.5, "text": "a" * 4096, "yes": True}
    api.create(world.experiment(space, method={"builtin": "hard-labels", "config": config}))
    assert api.get("Experiment", space, "e")["spec"]["method"]["config"] == config
    assert api.patch("Experiment", space, "e", {"spec": {"desiredState": "Suspended", "hypothesis": "h"}}).is_success


def test_cancelled_is_final(api: Api, space: str) -> None:
    api.create(world.experiment(space))
    assert api.patch("Experiment", space, "e", {"spec": {"desiredState": "Cancelled"}}).is_success
    answer = api.patch("Experiment", space, "e", {"spec": {"desiredState": "Active"}})
    assert (answer.status_code, "cannot be started again" in answer.json()["message"]) == (422, True)


def test_defaults_are_those_of_the_models(api: Api, space: str) -> None:
    from aar_api.campaign import parse

    manifest = world.campaign(space)
    got = api.create(manifest).json()["spec"]
    assert parse({**manifest, "spec": got}).spec == parse(manifest).spec
    assert got["evaluation"]["replication"] == {"topK": 3, "seeds": 5}


def test_unknown_fields_are_refused_when_asked_to(api: Api, space: str) -> None:
    manifest = world.campaign(space, buget={"limitUSD": "1"})
    path = api.path("ResearchCampaign", space)
    answer = api.send("POST", path, json=manifest, params={"fieldValidation": "Strict"})
    assert (answer.status_code, "unknown field" in answer.json()["message"]) == (400, True)


def test_columns(api: Api, space: str) -> None:
    api.create(world.campaign(space))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = api.send("GET", api.path("ResearchCampaign", space), headers=accept).json()
    names = [one["name"] for one in table["columnDefinitions"]]
    assert {"Phase", "Best-PGR", "Spent", "Budget", "Age"} <= set(names)
    assert table["rows"][0]["cells"][names.index("Budget")] == "1"


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("ResearchCampaign", ("spec", "budget", "limitUSD"), "US dollars for the whole campaign."),
        ("Experiment", ("spec", "seeds"), "How many seeds; the hub draws which."),
    ],
    ids=["campaign", "experiment"],
)
def test_explained(api: Api, kind: str, path: tuple[str, ...], words: str) -> None:
    """What `kubectl explain` reads."""
    document = api.send("GET", "/openapi/v3/apis/aar.dev/v1alpha1").json()
    node = document["components"]["schemas"][f"dev.aar.v1alpha1.{kind}"]
    for name in path:
        node = node["properties"][name]
    assert node["description"] == words
