"""What a hub measures, read back from the text that Prometheus gets."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from aar_api.wire import IndexOutcome, Settlement
from aar_hub import hub as hubs
from aar_hub import metrics, settlement
from aar_hub.domain import diversity
from aar_hub.hub import Hub
from aar_hub.settings import Settings
from aar_hub.store import tables
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
SPEC = {
    "task": {"name": "chat"},
    "researchers": {"count": 2},
    "budget": {"limitUSD": "10.00"},
    "referenceLines": [{"name": "human", "pgr": "0.23"}],
}
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
TASK = "sha256:" + "0" * 64


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = hubs.start(Settings(data_dir=tmp_path, operator_token="x"))
    yield made
    made.db.close()


def campaign(hub: Hub, **columns: object) -> None:
    row = {"id": 1, "name": "one", "namespace": "n", "uid": "u", "spec": SPEC, "stage": "researching"}
    row |= {"opened": "2026-01-01T00:00:00Z", "researching": "2026-01-01T00:10:00Z"}
    task = {"key": TASK, "ref": {"name": "chat"}, "main": True, "blobs": {}}
    with hub.db.write() as tx:
        tx.execute(sa.insert(tables.campaigns).values(row | columns))
        tx.execute(sa.insert(tables.tasks).values(task))


def experiment(hub: Hub, name: str, **columns: object) -> None:
    row: dict[str, object] = {
        "name": name,
        "purpose": "Exploration",
        "researcher": "r0",
        "key": name,
        "task": TASK,
        "builtin": "hard-labels",
        "config": {},
        "seeds": 2,
        "spec": {"campaignRef": "one", "method": {"builtin": "hard-labels"}, "resources": {"cpu": "500m", "gpus": 2}},
        "content": name,
        "state": "admitted",
        "drawn": [1, 2],
        "part": "r0",
        "deadline": 60,
        "created": "2026-01-01T01:00:00Z",
    }
    with hub.db.write() as tx:
        tx.execute(sa.insert(tables.experiments).values(row | columns))


def score(hub: Hub, name: str, shown: float, split: str = "Feedback") -> None:
    row = {
        "experiment": name,
        "position": 0,
        "split": split,
        "pgr": shown,
        "stderr": 0.1,
        "shown": shown,
        "n_seeds": 2,
        "receipt": A,
    }
    with hub.db.write() as tx:
        tx.execute(sa.insert(tables.scores).values(row))


def finding(hub: Hub, author: str, created: str) -> None:
    row = {"author": author, "kind": "insight", "title": "t", "text": "t", "experiments": [], "created": created}
    with hub.db.write() as tx:
        tx.execute(sa.insert(tables.findings).values(row))


def read(hub: Hub) -> dict[str, dict[tuple[str, ...], float]]:
    """Series name -> values of its labels, in the order of their names and without the campaign -> figure."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.page(hub).decode()):
        for sample in family.samples:
            assert sample.labels["campaign"] == "one"
            values = tuple(value for name, value in sorted(sample.labels.items()) if name != "campaign")
            found.setdefault(sample.name, {})[values] = sample.value
    return found


def test_nothing_before_there_is_a_campaign(hub: Hub) -> None:
    assert metrics.page(hub) == b""


@pytest.mark.parametrize(
    ("columns", "now"),
    [({"stage": "verifying"}, "verifying"), ({"stage": "researching", "failed": "no floor"}, "failed")],
    ids=["a stage", "failed, whatever the stage"],
)
def test_stage(hub: Hub, columns: dict[str, object], now: str) -> None:
    campaign(hub, **columns)
    stages = read(hub)["aar_campaign_stage"]
    assert {stage for stage, figure in stages.items() if figure} == {(now,)}
    assert len(stages) == 5


def test_what_a_settlement_enters(hub: Hub) -> None:
    """Two seeds of 30 and 10 seconds on half a core and two GPUs each, ten minutes after submission."""
    campaign(hub)
    experiment(hub, "e1", created="2026-01-01T01:00:00Z", reserved=1_000_000)
    indexes = tuple(IndexOutcome(index=i, succeeded=False, seconds=s) for i, s in enumerate((30.0, 10.0)))
    settlement.settle(
        hub, "e1", Settlement(outcome="finished", job_name="e1-1", job_uid="j", image="i", indexes=indexes)
    )
    with hub.db.write() as tx:
        tx.execute(sa.update(tables.experiments).values(ended="2026-01-01T01:10:00Z"))
    found = read(hub)
    assert found["aar_cpu_seconds_total"] == {(): 20.0}
    assert found["aar_gpu_seconds_total"] == {(): 80.0}
    assert found["aar_experiment_run_seconds_sum"]["Exploration",] == 30.0
    assert found["aar_experiment_queue_seconds_sum"]["Exploration",] == 570.0
    assert found["aar_experiment_queue_seconds_bucket"]["300.0", "Exploration"] == 0
    assert found["aar_experiment_queue_seconds_bucket"]["900.0", "Exploration"] == 1
    assert found["aar_hub_experiments"]["Exploration", "failed"] == 1
    assert found["aar_cost_usd_total"]["gpu",] > 0


@pytest.mark.parametrize("verified", [True, False])
def test_scores(hub: Hub, verified: bool) -> None:
    campaign(hub, stage="verifying", verified=verified)
    for name, who, shown, ended in (("e1", "r0", 0.3, "01"), ("e2", "r0", 0.5, "02"), ("e3", "r1", -0.1, "03")):
        experiment(hub, name, researcher=who, state="scored", ended=f"2026-01-01T{ended}:00:00Z")
        score(hub, name, shown)
    for name, replicates, shown in (("e4", "e3", 0.4), ("e5", None, 0.2)):
        columns = {"replicates": replicates, "state": "scored", "audit": "Suspect", "ended": "2026-01-01T04:00:00Z"}
        experiment(hub, name, purpose="Replication", researcher="hub", **columns)
        score(hub, name, shown, "Private")
    found = read(hub)
    private = {("r1", "private"): 0.4, ("hub", "private"): 0.2} if verified else {}
    assert found["aar_gap_recovered_ratio"] == {("r0", "feedback"): 0.5, ("r1", "feedback"): -0.1} | private
    assert found["aar_experiment_gap_recovered_ratio_bucket"]["+Inf", "private"] == len(private)
    assert found["aar_audited_experiments"]["Suspect",] == len(private)
    buckets = found["aar_experiment_gap_recovered_ratio_bucket"]
    assert [buckets[bound, "feedback"] for bound in ("-0.2", "0.0", "0.3", "+Inf")] == [0, 1, 2, 3]
    last = 1767240000.0 if verified else 1767236400.0  # 4 or 3 o'clock on 2026-01-01
    assert found["aar_last_score_timestamp_seconds"] == {(): last}
    assert found["aar_reference_gap_recovered_ratio"] == {("human",): 0.23}


def test_activity(hub: Hub) -> None:
    campaign(hub)
    experiment(hub, "e1", created="2026-01-01T01:00:00Z")
    experiment(hub, "e2", state="refused")
    finding(hub, "r0", "2026-01-01T02:00:00Z")
    finding(hub, "somebody", "2026-01-01T03:00:00Z")
    found = read(hub)
    assert found["aar_submissions_total"] == {("r0",): 1, ("r1",): 0, ("owner",): 0}
    assert found["aar_findings_total"] == {("r0",): 1, ("r1",): 0, ("owner",): 0}
    assert found["aar_researcher_last_activity_timestamp_seconds"] == {("r0",): 1767232800.0}  # 2026-01-01T02:00:00Z
    assert found["aar_researchers"] == {("active",): 2, ("finished",): 0}


def test_an_edited_method_is_the_same_idea(hub: Hub) -> None:
    campaign(hub)
    with hub.db.write() as tx:
        for digest, parents in ((A, []), (B, [A]), (C, [B, A])):
            row = {
                "digest": digest,
                "blob": digest,
                "parents": parents,
                "author": "r0",
                "created": "2026-01-01T00:00:00Z",
            }
            tx.execute(sa.insert(tables.snapshots).values(row))
    for name, builtin, snapshot in (("e1", "hard-labels", None), ("e2", None, A), ("e3", None, C)):
        experiment(hub, name, builtin=builtin, snapshot=snapshot)
    found = read(hub)
    assert found["aar_ideas"] == {(): 2}
    assert found["aar_ideas_effective"][()] == pytest.approx(diversity.effective_number((1, 2)))


@pytest.mark.parametrize(
    ("counts", "number"),
    [((), 0.0), ((7,), 1.0), ((3, 3, 3), 3.0), ((0, 2, 2), 2.0), ((1, 2), math.exp(math.log(3) - 2 / 3 * math.log(2)))],
    ids=["none", "one", "three alike", "an empty one", "uneven"],
)
def test_effective_number(counts: tuple[int, ...], number: float) -> None:
    assert diversity.effective_number(counts) == pytest.approx(number)


LABELS = {
    "campaign",
    "kind",
    "stage",
    "outcome",
    "purpose",
    "state",
    "status",
    "verdict",
    "researcher",
    "split",
    "task",
    "model",
    "reference",
    "le",
}


def test_every_family_is_documented_and_has_known_labels(hub: Hub) -> None:
    campaign(hub)
    experiment(hub, "e1", state="scored", ended="2026-01-01T02:00:00Z", run_seconds=1.0)
    score(hub, "e1", 0.5)
    text = (ROOT / "docs" / "metrics.md").read_text().split("## Of the operator on a cluster")[0]
    documented = dict(re.findall(r"^\| `(aar_\w+)` \| (\w+) \|", text, re.M))
    served = {}
    for family in text_string_to_metric_families(metrics.page(hub).decode()):
        served[f"{family.name}_total" if family.type == "counter" else family.name] = family.type
        assert {name for sample in family.samples for name in sample.labels} <= LABELS
        assert family.documentation
    # Floor and ceiling need a task that is built: the campaign under Prometheus has one.
    assert served == documented


def test_a_restart_loses_none(hub: Hub, tmp_path: Path) -> None:
    campaign(hub)
    experiment(hub, "e1", state="scored", ended="2026-01-01T02:00:00Z", run_seconds=1.0, cpu_seconds=2.0)
    score(hub, "e1", 0.5)
    again = hubs.start(Settings(data_dir=tmp_path, operator_token="x"))
    try:
        assert metrics.page(again) == metrics.page(hub)
    finally:
        again.db.close()
