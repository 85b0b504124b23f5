"""A local campaign of LLM researchers, whose provider is a double, and an operator on a cluster, under a real Prometheus: every query of
the dashboards has data, also after the hub was started again."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from aar_cli.fake_llm import script
from aar_cli.fake_llm import server as fake_llm
from helm.charttools import CHART, ROOT, only, render
from kube import hubdouble, world
from kube.conftest import install_crds
from kube.inside import NO_NODE
from kube.plane import running
from kube.world import Kubelet, until
from needs import lacking
from ports import free_ports
from prometheus_client.parser import text_string_to_metric_families

CAMPAIGN = """
apiVersion: aar.dev/v1alpha1
kind: ResearchCampaign
metadata: {name: watched}
spec:
  task: {name: chat, params: {head: probe, nTrain: 800, nTest: 900}}
  researchers: {kind: claude, model: claude-sonnet-5-5, count: 2, maxTurns: 60}
  experiments: {parallelism: 2, maxCount: 3, seeds: 1, activeDeadlineSeconds: 1500}
  budget: {limitUSD: "9.00", llmLimitUSD: "6.00"}
  evaluation: {baselineSeeds: 2, controls: false, replication: {topK: 1, seeds: 2}}
  referenceLines: [{name: human researchers, pgr: "0.23"}]
"""
RUN_SECONDS = 1500
"""Far more than it takes: machines that run tests are busy."""
STEP = 5


@dataclass
class Watched:
    """A Prometheus that has scraped a campaign from its beginning to its end, and what the hub and the operator said last."""

    client: httpx.Client
    began: float
    metrics: dict[str, str]

    def figures(self, query: str) -> list[float]:
        """Every finite figure of a query over the whole time."""
        asked = {"query": query, "start": self.began, "end": time.time(), "step": STEP}
        answer = self.client.get("/api/v1/query_range", params=asked)
        assert answer.is_success, answer.text
        series = answer.json()["data"]["result"]
        return [float(text) for one in series for _, text in one["values"] if math.isfinite(float(text))]

    def choices(self, query: str) -> list[str]:
        """What Grafana offers by `label_values(series, label)`."""
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked is not None, query
        about = {"match[]": asked[1], "start": self.began, "end": time.time()}
        answer = self.client.get(f"/api/v1/label/{asked[2]}/values", params=about)
        assert answer.is_success, answer.text
        found: list[str] = answer.json()["data"]
        return found

    @property
    def names(self) -> set[str]:
        """Names of all series."""
        families = [one for text in self.metrics.values() for one in text_string_to_metric_families(text)]
        return {sample.name for family in families for sample in family.samples}


def prometheus(folder: Path, scraped: dict[str, int], listens: int) -> subprocess.Popen[bytes]:
    """It scrapes ports by the name of their job, and listens at one."""
    rules = only(render("--set", "metrics.prometheusRule.enabled=true"), "PrometheusRule")["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    jobs = [
        {
            "job_name": job,
            "honor_labels": True,
            # As where a PodMonitor found the pod.
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": f"of-the-{job}"}}],
        }
        for job, port in scraped.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "5s"}
    (folder / "prometheus.yaml").write_text(
        yaml.safe_dump({"global": every, "rule_files": ["rules.yaml"], "scrape_configs": jobs})
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


@contextlib.contextmanager
def operator_at_work(folder: Path, port: int) -> Iterator[None]:
    """On a cluster, with a campaign that researches and an experiment that is scored."""
    with running(folder / "plane") as plane, hubdouble.serving() as hubs:
        api = plane.api()
        install_crds(api)
        for name in ("people", "aar-system"):
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        environment = {
            "AAR_OPERATOR_NAMESPACE": "aar-system",
            "AAR_HUB_URL_TEMPLATE": hubs.url + "/{namespace}",
            "AAR_METRICS_PORT": str(port),
            "AAR_NODE_SELECTOR": json.dumps(NO_NODE),
        }
        with Kubelet(api, "people") as kubelet, world.operator(plane.kubeconfig, folder / "operator", environment):
            kubelet.ends = lambda pod: None if pod["metadata"]["name"].startswith("researcher") else 0
            api.create(world.campaign("people"))
            api.create(world.experiment("people"))
            scored = lambda: world.phase(api.get("Experiment", "people", "e")) == "Complete"  # noqa: E731
            until("it is scored", scored, about=lambda: world.status(api, "ResearchCampaign", "people", "c"))
            yield


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if shutil.which("prometheus") is None:
        lacking("prometheus", "prometheus is not on PATH: install the Debian package prometheus.")
    folder, began = tmp_path_factory.mktemp("watched"), time.time()
    hub_port, operator_port, own_port = free_ports(3)
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    with contextlib.ExitStack() as stack:
        server = prometheus(folder, {"hub": hub_port, "operator": operator_port}, own_port)
        stack.callback(stop, server)
        stack.enter_context(operator_at_work(folder, operator_port))
        provider = stack.enter_context(fake_llm.serving(fake_llm.FakeLLM(script.load("competent"))))
        command = [sys.executable, "-m", "aar_operator.main", "local", "--dir", folder / "run"]
        command += ["--campaign", folder / "campaign.yaml", "--port", str(hub_port)]
        run_to_the_end(command, {"AAR_PROVIDER_URL": provider, "AAR_PROVIDER_KEY": "fake"})
        stack.callback(stop, serve_again(folder / "run", hub_port, folder / "hub.log"))
        metrics = {}
        for job, port in (("hub", hub_port), ("operator", operator_port)):
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as asked:
                metrics[job] = wait_for(asked, "/metrics").text
        with httpx.Client(base_url=f"http://127.0.0.1:{own_port}", trust_env=False, timeout=30) as client:
            found = Watched(client, began, metrics)
            until(
                "the last state is scraped",
                lambda: found.figures('aar_gap_recovered_ratio{split="private"}'),
                patience=60,
            )
            yield found


def run_to_the_end(command: list[str | Path], environment: dict[str, str]) -> None:
    """A run ends early when its standard input does: that stays open."""
    reading, writing = os.pipe()
    try:
        inherited = {**os.environ, **environment}
        done = subprocess.run(
            command, stdin=reading, capture_output=True, text=True, timeout=RUN_SECONDS, env=inherited
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def pages() -> dict[str, dict]:
    """The dashboards by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((CHART / "dashboards").glob("*.json"))}


def chosen(query: str) -> str:
    """A query with the choices that a person would make."""
    for name, value in {"$campaign": "watched", "$namespace": ".*", "$__rate_interval": "30s"}.items():
        query = query.replace(name, value)
    return query


def queries() -> dict[str, str]:
    """Every query of the dashboards' panels under a name."""
    found = {}
    for name, page in pages().items():
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                found[f"{name}: {panel['title']} {target['refId']}"] = chosen(target["expr"])
    return found


def variables() -> dict[str, str]:
    """Every query for what a person may choose from."""
    asked = [(name, one) for name, page in pages().items() for one in page["templating"]["list"]]
    return {f"{name}: {one['name']}": chosen(one["query"]) for name, one in asked if one["type"] == "query"}


def series_of(query: str) -> set[str]:
    return set(re.findall(r"\baar_\w+", query))


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
@pytest.mark.parametrize("query", queries().values(), ids=queries())
def test_query_has_data(watched: Watched, query: str) -> None:
    assert series_of(query) <= watched.names
    assert watched.figures(query), query


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
@pytest.mark.parametrize("query", variables().values(), ids=variables())
def test_there_is_something_to_choose_from(watched: Watched, query: str) -> None:
    assert watched.choices(query), query


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
@pytest.mark.parametrize("job", ["hub", "operator"])
def test_promtool_finds_the_metrics_well_formed(watched: Watched, job: str) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=watched.metrics[job], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 120)
def test_prometheus_evaluates_the_alerts(watched: Watched) -> None:
    groups = watched.client.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 9
    assert {rule["health"] for rule in rules} == {"ok"}
    for rule in rules:
        assert series_of(rule["query"]) <= watched.names, rule["name"]


def test_dashboards_ask_for_known_series() -> None:
    """A name that is neither a hub's nor the operator's is a typing error; the hub's part is checked by the run above."""
    documented = set(re.findall(r"^\| `(aar_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.M))
    every = [*queries().values(), *variables().values()]
    assert len(variables()) == 2
    asked = {re.sub(r"_bucket$", "", name) for query in every for name in series_of(query)}
    assert asked <= documented
