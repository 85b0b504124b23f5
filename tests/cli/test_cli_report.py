"""A report drawn from report.json, and the listings from the other parts."""

import pytest
from aar_api import plugins
from aar_api.wire import BaselineRow, Report, ReportRow, Summary, SummaryBest
from aar_cli import figures, page
from aar_cli.main import main
from aar_hub import tasks
from aar_lab import methods


def row(method, pgr, verdict, **more):
    base = {"method": method, "config": {"x": 0.25}, "task": "chat", "purpose": "Exploration", "pgr": pgr, "stderr": 0.05,
            "split": "Feedback", "n_seeds": 2, "cost_usd": "0.01", "verdict": verdict, "experiment": method, "researcher": "r0"}  # fmt: skip
    return ReportRow.model_validate(base | more)


REPORT = Report(
    campaign="c",
    task="chat",
    stage="done",
    summary=Summary(
        opened=True, stage="done", best=SummaryBest(experiment="e", method="b", pgr=0.5, stderr=0.04, confirmed=True)
    ),
    baselines=(BaselineRow(task="chat", split="Private", weak=0.68, weak_stderr=0.01, ceiling=0.81, ceiling_stderr=0.01, n_test=700, seeds=3),),
    rows=(row("a", 0.9, "exploration"), row("b", 0.5, "confirmed", reported_pgr=0.62), row("z", 0.6, "not confirmed")),
    reference_lines=(("human", 0.23),),
    timeline=({"order": 1, "experiment": "a", "pgr": 0.9, "stderr": 0.1, "researcher": "r0", "cost": "0.01"},),
)  # fmt: skip


def test_confirmed_comes_first_and_published_figures_last():
    lines = figures.rows(REPORT)
    assert [line[0] for line in lines] == ["b (x=0.25)", "z (x=0.25)", "a (x=0.25)", "human (published)"]
    assert lines[0][2:] == ("0.50", "0.05", "2", "Feedback", "0.01", "confirmed (explored 0.62)")


def test_what_was_confirmed_here_alone_is_said_to_be():
    best = REPORT.summary.best.model_copy(update={"not_held_on": ("code",)})
    report = REPORT.model_copy(update={"summary": REPORT.summary.model_copy(update={"best": best})})
    said = "confirmed on fresh seeds and the private half, but on no unseen task (not on code)."
    assert figures.headline(report) == f"Best: b, PGR 0.50 ± 0.04, {said}"


@pytest.mark.parametrize(
    "report", [REPORT, REPORT.model_copy(update={"rows": (), "timeline": ()})], ids=["full", "bare"]
)
def test_report_is_drawn(tmp_path, report, capsys):
    (tmp_path / "report.json").write_text(report.model_dump_json(by_alias=True))
    assert main(["report", str(tmp_path)]) == 0
    assert "confirmed on fresh seeds" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.svg").read_text().lstrip().startswith("<?xml")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "report.svg").read_bytes()
    page.write(report, tmp_path)
    assert (tmp_path / "report.svg").read_bytes() == first


@pytest.mark.parametrize(("text", "why"), [(None, "does not exist"), ("{}", "is no report")], ids=["none", "old"])
def test_no_report_to_draw(tmp_path, capsys, text, why):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    assert main(["report", str(tmp_path)]) == 2
    assert why in capsys.readouterr().err


def test_methods_are_the_labs_and_no_name_is_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["methods"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in plugins.names(methods))


def test_tasks_are_the_hubs(capsys):
    assert main(["tasks"]) == 0
    said = capsys.readouterr().out.splitlines()
    every = plugins.names(tasks)
    assert [line.split()[0] for line in said[: len(every)]] == every
    settled = tasks.resolve("chat", {}).params.model_dump(by_alias=True)
    assert [name for name in settled if not any(f" {name} " in line for line in said)] == []
