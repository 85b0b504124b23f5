"""A local campaign under a real Prometheus: every query of the dashboards that concerns a hub has data, before and after a restart."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from helm.charttools import CHART, ROOT, only, render
from prometheus_client.parser import text_string_to_metric_families

CAMPAIGN = """
apiVersion: aar.dev/v1alpha1
kind: ResearchCampaign
metadata: {name: watched}
spec:
  task: {name: chat, params: {head: probe, nTrain: 800, nTest: 900}}
  researchers: {kind: search, count: 2}
  experiments: {parallelism: 2, maxCount: 3, seeds: 1, activeDeadlineSeconds: 1500}
  budget: {limitUSD: "9.00"}
  evaluation: {baselineSeeds: 2, controls: false, replication: {topK: 1, seeds: 2}}
  referenceLines: [{name: human researchers, pgr: "0.23"}]
"""
RUN_SECONDS = 1500
"""Far more than it takes: machines that run tests are busy."""
STEP = 5
OPERATOR = {
    "aar_campaigns",
    "aar_experiments",
    "aar_leader",
    "aar_reconcile_total",
    "aar_reconcile_duration_seconds_bucket",
    "aar_workqueue_depth",
    "aar_api_requests_total",
    "aar_api_request_duration_seconds_bucket",
    "aar_experiment_submit_to_job_seconds_bucket",
}
"""Series of the operator on a cluster; a local run has no such process to scrape."""
LLM = {"aar_llm_tokens_total", "aar_llm_calls_total", "aar_llm_cost_usd_total"}
"""Series of LLM calls; a campaign of `search` makes none."""


@dataclass
class Watched:
    """A Prometheus that has scraped a campaign from its beginning to its end, and what the hub said last."""

    client: httpx.Client
    began: float
    metrics: str

    def figures(self, query: str) -> list[float]:
        """Every finite figure of a query over the whole time."""
        asked = {"query": query, "start": self.began, "end": time.time(), "step": STEP}
        answer = self.client.get("/api/v1/query_range", params=asked)
        assert answer.is_success, answer.text
        series = answer.json()["data"]["result"]
        return [float(text) for one in series for _, text in one["values"] if math.isfinite(float(text))]

    @property
    def names(self) -> set[str]:
        """Names of the hub's series."""
        return {sample.name for family in text_string_to_metric_families(self.metrics) for sample in family.samples}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def prometheus(folder: Path, scraped: int, listens: int) -> subprocess.Popen[bytes]:
    rules = only(render("--set", "metrics.prometheusRule.enabled=true"), "PrometheusRule")["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    target = {"job_name": "hub", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "5s"}
    (folder / "prometheus.yaml").write_text(
        yaml.safe_dump({"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [target]})
    )
    command = ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{listens}"], stdout=log, stderr=log)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve_again(folder: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """The hub of a run that is over, from its data."""
    inherited = os.environ
    data = next(folder.glob("volumes/*-hub/data"))
    own = {
        "AAR_HUB_DATA_DIR": str(data),
        "AAR_HUB_OPERATOR_TOKEN": "x",
        "AAR_HUB_SANDBOX_PORT": "0",
        "AAR_HUB_OPERATOR_PORT": str(port),
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("crds", "operator")),
    }
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "aar_hub.main"]
        return subprocess.Popen(command, env={**inherited, **own}, stdout=sink, stderr=sink)


def wait_for(client: httpx.Client, path: str, seconds: float = 60) -> httpx.Response:
    until = time.monotonic() + seconds
    while True:
        try:
            answer = client.get(path)
            if answer.is_success:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < until, f"{client.base_url}{path} does not answer"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on PATH: install the Debian package prometheus")
    folder, began = tmp_path_factory.mktemp("watched"), time.time()
    hub_port, own_port = free_port(), free_port()
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    server = prometheus(folder, hub_port, own_port)
    again = None
    try:
        command = [sys.executable, "-m", "aar_operator.main", "local", "--dir", folder / "run"]
        command += ["--campaign", folder / "campaign.yaml", "--port", str(hub_port)]
        run_to_the_end(command)
        again = serve_again(folder / "run", hub_port, folder / "hub.log")
        with httpx.Client(base_url=f"http://127.0.0.1:{hub_port}", trust_env=False) as hub:
            metrics = wait_for(hub, "/metrics").text
        with httpx.Client(base_url=f"http://127.0.0.1:{own_port}", trust_env=False, timeout=30) as client:
            found = Watched(client, began, metrics)
            until = time.monotonic() + 60
            while not found.figures('aar_gap_recovered_ratio{split="private"}'):
                assert time.monotonic() < until, "the last state was not scraped"
                time.sleep(1)
            yield found
    finally:
        for one in (server, again):
            if one is not None:
                stop(one)


def run_to_the_end(command: list[str | Path]) -> None:
    """A run ends early when its standard input does: that stays open."""
    reading, writing = os.pipe()
    try:
        done = subprocess.run(command, stdin=reading, capture_output=True, text=True, timeout=RUN_SECONDS)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def queries() -> dict[str, str]:
    """Every query of the dashboards under a name, with the choices that a person would make."""
    found = {}
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                chosen = {"$campaign": "watched", "$namespace": ".*", "$__rate_interval": "30s"}
                text = target["expr"]
                for name, value in chosen.items():
                    text = text.replace(name, value)
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = text
    return found


def series_of(query: str) -> set[str]:
    return set(re.findall(r"\baar_\w+", query))


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
@pytest.mark.parametrize("query", queries().values(), ids=queries())
def test_query_has_data(watched: Watched, query: str) -> None:
    if series_of(query) <= OPERATOR | LLM:
        pytest.skip("concerns the operator on a cluster, or LLM calls, and a local campaign of search has neither")
    assert series_of(query) <= watched.names
    assert watched.figures(query), query


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
def test_promtool_finds_the_metrics_well_formed(watched: Watched) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=watched.metrics, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
def test_prometheus_evaluates_the_alerts(watched: Watched) -> None:
    groups = watched.client.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 8
    assert {rule["health"] for rule in rules} == {"ok"}
    for rule in rules:
        assert series_of(rule["query"]) - OPERATOR - LLM <= watched.names, rule["name"]


def test_dashboards_ask_for_known_series() -> None:
    """A name that is neither a hub's nor the operator's is a typing error; the hub's part is checked by the run above."""
    documented = set(re.findall(r"^\| `(aar_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.M))
    asked = {re.sub(r"_bucket$", "", name) for query in queries().values() for name in series_of(query)}
    assert asked <= documented
