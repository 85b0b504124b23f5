"""The alerts, by Prometheus' own tool: they parse, fire when they should and keep quiet when not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from helm.charttools import only, render
from needs import lacking

ALIVE = 'up{job="aar-system/aar-operator"}'
ON = ("--set", "metrics.prometheusRule.enabled=true")


def stage(name: str) -> dict[str, str]:
    stages = ("preparing", "researching", "verifying", "done", "failed")
    return {f'aar_campaign_stage{{{OWN}, stage="{one}"}}': f"{int(one == name)}x400" for one in stages}


OWN = 'namespace="one-1234-hub", campaign="one"'
LIMIT = {f"aar_budget_limit_usd{{{OWN}}}": "10x400"}


def left(usd: float) -> dict[str, str]:
    return LIMIT | {f"aar_budget_left_usd{{{OWN}}}": f"{usd}x400"}


def scored(seconds: int) -> dict[str, str]:
    return {f"aar_last_score_timestamp_seconds{{{OWN}}}": f"{seconds}x400"}


BEGUN = {f"aar_research_start_timestamp_seconds{{{OWN}}}": "0x400"}
FAILING = {'aar_reconcile_total{namespace="aar-system", kind="Experiment", result="error"}': "0+1x400"}
REFUSED = {'aar_reconcile_total{namespace="aar-system", kind="Experiment", result="cluster"}': "0+1x400"}
WORKING = {'aar_reconcile_total{namespace="aar-system", kind="Experiment", result="ok"}': "0+1x400"}
LLM = f'aar_llm_calls_total{{{OWN}, model="m", outcome="%s"}}'
CAMPAIGNS = 'aar_campaigns{namespace="research", phase="%s"}'
HUB = 'up{job="aar-system/aar-hubs", namespace="one-1234-hub"}'

# Alert, series by minute, minute of the question, whether it fires.
CASES = {
    "budget nearly used": ("AarBudgetNearlyUsed", stage("researching") | left(0.5), 10, True),
    "budget not yet used": ("AarBudgetNearlyUsed", stage("researching") | left(2.0), 10, False),
    "budget of a campaign that is over": ("AarBudgetNearlyUsed", stage("done") | left(0.5), 10, False),
    "failed": ("AarCampaignFailed", stage("failed"), 1, True),
    "done": ("AarCampaignFailed", stage("done"), 1, False),
    "some failed": ("AarCampaignsFailed", {CAMPAIGNS % "Failed": "1x400"}, 1, True),
    "failed and deleted": ("AarCampaignsFailed", {CAMPAIGNS % "Failed": "0x400"}, 1, False),
    "all done": ("AarCampaignsFailed", {CAMPAIGNS % "Complete": "1x400"}, 1, False),
    "nothing scored since research began": ("AarNothingScored", stage("researching") | BEGUN, 121, True),
    "nothing scored yet": ("AarNothingScored", stage("researching") | BEGUN, 119, False),
    "nothing scored any more": ("AarNothingScored", stage("researching") | BEGUN | scored(6000), 221, True),
    "scored lately": ("AarNothingScored", stage("researching") | BEGUN | scored(6000), 200, False),
    "nothing scored, and nothing expected": ("AarNothingScored", stage("verifying") | BEGUN | scored(6000), 300, False),
    "suspect": ("AarSuspectResult", {f'aar_audited_experiments{{{OWN}, verdict="Suspect"}}': "1x400"}, 1, True),
    "clean": ("AarSuspectResult", {f'aar_audited_experiments{{{OWN}, verdict="Clean"}}': "1x400"}, 1, False),
    "LLM calls fail": ("AarLlmCallsFail", {LLM % "fault": "0+3x400", LLM % "answered": "0+2x400"}, 30, True),
    "some LLM calls fail": ("AarLlmCallsFail", {LLM % "fault": "0+2x400", LLM % "answered": "0+3x400"}, 30, False),
    "hub down": ("AarHubDown", {HUB: "0x400"}, 6, True),
    "hub restarts": ("AarHubDown", {HUB: "1 1 0 0 1x400"}, 10, False),
    "no operator": ("AarOperatorDown", {}, 6, True),
    "operator down": ("AarOperatorDown", {ALIVE: "0x400"}, 6, True),
    "operator up": ("AarOperatorDown", {ALIVE: "1x400"}, 6, False),
    "reconcile errors": ("AarReconcileErrors", FAILING | WORKING, 30, True),
    "reconciles that the API server refuses": ("AarReconcileErrors", REFUSED, 30, True),
    "reconciles": ("AarReconcileErrors", WORKING, 30, False),
}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        lacking("prometheus", "promtool is not on PATH: install the Debian package prometheus")
    return found


def rules(folder: Path, *arguments: str | Path) -> Path:
    """The chart's rules as a file of Prometheus."""
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(only(render(*ON, *arguments), "PrometheusRule")["spec"]))
    return path


def test_rules_parse(promtool: str, tmp_path: Path) -> None:
    own = tmp_path / "values.yaml"
    own.write_text(
        'metrics: {prometheusRule: {additionalGroups: [{name: own, rules: [{alert: A, expr: "vector(1)"}]}]}}'
    )
    done = subprocess.run(
        [promtool, "check", "rules", rules(tmp_path, "--values", own)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "10 rules found" in done.stdout


@pytest.mark.parametrize(("alert", "series", "minute", "fires"), CASES.values(), ids=CASES)
def test_alert(promtool: str, tmp_path: Path, alert: str, series: dict[str, str], minute: int, fires: bool) -> None:
    groups = yaml.safe_load(rules(tmp_path).read_text())["groups"]
    rule = next(rule for group in groups for rule in group["rules"] if rule["alert"] == alert)
    asked = {
        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": "{}", "value": int(fires)}],
    }
    given = [{"series": name, "values": values} for name, values in series.items()]
    told = {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [told]})
    )
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_every_alert_is_tried() -> None:
    spec = only(render(*ON), "PrometheusRule")["spec"]
    assert {rule["alert"] for group in spec["groups"] for rule in group["rules"]} == {
        case[0] for case in CASES.values()
    }
