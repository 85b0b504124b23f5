"""Bad files end in one sentence and exit code 2; every example is a good one."""

from pathlib import Path

import pytest
from aar_cli import documents, settings
from aar_cli.main import main

ROOT = Path(__file__).parents[2]
GOOD = """\
apiVersion: aar.dev/v1alpha1
kind: ResearchCampaign
metadata: {name: c}
spec:
  task: {name: chat}
  budget: {limitUSD: "1.00"}
"""
OWN = """\
---
apiVersion: aar.dev/v1alpha1
kind: Experiment
metadata: {name: mine}
spec:
  campaignRef: c
  method: {configMap: {name: m, key: method.py}}
"""
BAD = {
    "empty": ("", "is empty"),
    "only a comment": ("# nothing\n", "is empty"),
    "no YAML": ("a: [1\n", "is no YAML"),
    "a list": ("- 1\n", "line 1: a document is list"),
    "unknown kind": (GOOD.replace("ResearchCampaign", "Pod"), "line 2: kind is 'Pod'"),
    "two campaigns": (GOOD + "---\n" + GOOD, "holds 2 ResearchCampaigns"),
    "no campaign": ("kind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n", "holds 0 ResearchCampaigns"),
    "misspelt field": (GOOD + "  experimnts: {seeds: 1}\n", "line 7: spec.experimnts is not a known field: did you mean 'experiments'?"),
    "misspelt deeper": (GOOD + "  experiments:\n    maxCont: 3\n", "line 8: spec.experiments.maxCont is not a known field: did you mean 'maxCount'?"),
    "wrong type": (GOOD + "  researchers: {count: many}\n", "spec.researchers.count is 'many', but it must be"),
    "missing": (GOOD.replace('  budget: {limitUSD: "1.00"}\n', ""), "spec.budget is missing"),
    "budget 0": (GOOD.replace("1.00", "0"), "line 6: budget.limitUSD is '0', but it must be greater than 0"),
    "negative budget": (GOOD.replace("1.00", "-3"), "spec.budget.limitUSD is '-3', but it must"),
    "too many seeds": (GOOD + "  experiments: {seeds: 9}\n", "spec.experiments.seeds is 9, but it must be less than or equal to 8"),
    "more seeds than the campaign's": (GOOD + OWN + "  seeds: 4\n", "asks for 4 seeds, but experiments.seeds of the campaign allows 1"),
    "another campaign": (GOOD + OWN.replace("campaignRef: c", "campaignRef: d"), "has campaignRef 'd', but the campaign is 'c'"),
    "a researcher with a GPU": (GOOD + "  researchers: {resources: {gpus: 1}}\n", "spec.researchers.resources.gpus is 1, but it must be less than or equal to 0"),
    "more GPUs a seed than in all": (GOOD + "  experiments: {resources: {gpus: 2}, maxGPUs: 1}\n", "experiments.resources.gpus is 2 for each seed, but the whole campaign may use 1"),
    "claude without a model": (GOOD + "  researchers: {kind: claude}\n", "needs an LLM: set researchers.model"),
    "operator's fields": (GOOD + OWN + "  purpose: Baseline\n", "which only the operator may"),
    "no such ConfigMap": (GOOD + OWN, "names key 'method.py' of ConfigMap 'm', but it is neither"),
    "name too long": (GOOD.replace("name: c}", f"name: {'x' * 41}}}"), "metadata.name is 'xxx"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_bad_file_is_one_clear_sentence(tmp_path, capsys, monkeypatch, command, text, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    assert main([command, "c.yaml"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_absent_file(capsys):
    assert main(["validate", "/nonexistent.yaml"]) == 2
    assert "does not exist" in capsys.readouterr().err


EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
SLOW = ("claude.yaml", "three-domains.yaml")
"""Asked again of the parts with the same words as others, and the latter builds three tasks."""


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.name)
def test_examples_can_be_read(file):
    given = documents.read(file)
    assert given.campaign.spec.evaluation.replication.top_k > 0, "an example shows what is confirmed"


@pytest.mark.timeout(600)  # each asks the parts, and builds its tasks
@pytest.mark.parametrize(
    "file",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.name in SLOW else []) for one in EXAMPLES],
)
def test_examples_are_valid(file, capsys):
    assert main(["validate", str(file)]) == 0
    assert "is valid" in capsys.readouterr().out


def test_an_llm_without_a_key_is_refused_before_anything_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AAR_PROVIDER_KEY", raising=False)
    (tmp_path / "c.yaml").write_text(GOOD + "  researchers: {kind: claude, model: claude-sonnet-5-5}\n")
    assert main(["run", "c.yaml"]) == 3
    said = capsys.readouterr().err
    assert "need claude-sonnet-5-5, but AAR_PROVIDER_KEY is not set" in said
    assert "--fake-llm competent" in said
    assert not (tmp_path / "runs").exists()


def test_a_double_takes_the_providers_place(monkeypatch):
    monkeypatch.setenv("AAR_PROVIDER_KEY", "real")
    assert settings.for_operator(None)["AAR_PROVIDER_KEY"] == "real"
    faked = settings.for_operator("http://127.0.0.1:1")
    assert (faked["AAR_PROVIDER_KEY"], faked["AAR_PROVIDER_URL"]) == ("fake-llm", "http://127.0.0.1:1")
