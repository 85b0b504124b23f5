"""What a person sees, in a terminal of 80 columns and in a pipe."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from aar_api.wire import BaselineRow, Report, ReportRow, Summary, SummaryBest
from aar_cli import figures
from aar_cli.view import SHOWN, View
from rich.console import Console

WIDTH, HEIGHT = 80, 24
START = "2026-01-01T00:00:00Z"
NOW = datetime(2026, 1, 1, 0, 2, 3, tzinfo=UTC)


def campaign(phase: str, **spec: Any) -> dict[str, Any]:
    """A status event's campaign."""
    whole = {"task": {"name": "chat"}, "budget": {"limitUSD": "1.00"}} | spec
    counts = {"total": 8, "scored": 4, "running": 2, "queued": 1, "failed": 1}
    status = {"phase": phase, "startTime": START, "experiments": counts}
    return {"kind": "ResearchCampaign", "metadata": {"name": "seen"}, "spec": whole, "status": status}


def summary() -> dict[str, Any]:
    """A status event's summary."""
    best = SummaryBest(experiment="seen-1", method="soft-labels", pgr=0.314, stderr=0.021, confirmed=False)
    return Summary(
        opened=True, stage="researching", submissions=5, best=best, limit_usd="1.00", floors={"chat": (0.612, 0.801)}
    ).dump()


def experiment(number: int, state: str, **more: Any) -> dict[str, Any]:
    """An experiment event."""
    base = {"name": f"seen-{number:08x}", "purpose": "Exploration", "submittedBy": "r0", "task": "chat",
            "label": "agreement-reweighting", "state": state}  # fmt: skip
    return {"event": "experiment", "experiment": base | more}


def shown(events: list[dict[str, Any]], *, terminal: bool) -> str:
    """What is on the screen after these events."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=WIDTH, height=HEIGHT, color_system=None)
    view = View(console, now=lambda: NOW)
    with view:
        for event in events:
            view.hear(event)
        if terminal:
            out.seek(0)
            out.truncate()
            view.refresh()
            assert view._live is not None
            view._live.refresh()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


EVENTS = [
    {"event": "url", "url": "http://127.0.0.1:1"},
    {"event": "status", "campaign": campaign("Researching", activeDeadlineSeconds=600), "summary": summary()},
    experiment(1, "scored", score={"pgr": 0.314, "stderr": 0.021, "split": "Feedback", "nSeeds": 2, "receipt": "sha256:0"}),
    experiment(2, "failed", message="1 of 1 seeds gave no result. Index 0, MethodError: [bold]a sentence that is far too long for the line"),
    experiment(3, "admitted", purpose="Control", control="PermutedWeakLabels"),
]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "seen  http://127.0.0.1:1",
        "Preparing  >  Researching  >  Verifying  >  Complete",
        "4 scored, 2 running, 1 waiting, 1 failed; 5 of 200 explored",
        "chat: W 0.612, C 0.801",
        "best PGR 0.31 ± 0.02 (soft-labels, unconfirmed)",
        "0.00 of 1.00 USD spent, 0.00 held",
        "0:02:03 since the start, 0:07:57 left for research",
        "0.31 ± 0.02",
        "running",
        "permuted",
        "00000002",
    ],
)
def test_the_panel_tells(words: str) -> None:
    assert words in shown(EVENTS, terminal=True)


def test_the_panel_fits_a_small_terminal() -> None:
    many = [experiment(number, "submitted") for number in range(3 * SHOWN)]
    lines = shown([*EVENTS, *many], terminal=True).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) <= HEIGHT
    assert f"{3 * SHOWN - 1:08x}" in "".join(lines)


def test_why_there_is_no_score_stays_on_the_screen() -> None:
    out = io.StringIO()
    with View(Console(file=out, force_terminal=True, width=WIDTH, color_system=None)) as view:
        for event in EVENTS:
            view.hear(event)
    assert "[bold]a sentence that is far too long for the line" in out.getvalue()


def test_before_anything_is_known() -> None:
    assert "starting" in shown([], terminal=True)


def test_in_a_pipe_a_line_comes_only_with_news() -> None:
    said = shown([*EVENTS, EVENTS[1], *EVENTS[2:]], terminal=False).splitlines()
    assert len(said) == len(set(said)) == 4
    assert said[1].startswith("Researching  |  4 scored")
    assert said[2].split() == ["seen-00000001", "explore", "agreement-reweighting", "0.31", "±", "0.02"]
    assert "[bold]a sentence" in said[3]


def test_a_sealed_score_is_said_again_once_it_is_open() -> None:
    score = {"pgr": 0.314, "stderr": 0.021, "split": "Private", "nSeeds": 2, "receipt": "sha256:0"}
    runs = [experiment(1, "scored", purpose="Replication"), experiment(1, "scored", purpose="Replication", score=score)]
    runs.insert(1, experiment(2, "scored", purpose="Baseline"))
    said = [line.split()[3:] for line in shown(runs, terminal=False).splitlines()]
    assert said == [["sealed"], ["ok"], ["0.31", "±", "0.02"]]


def row(method: str, verdict: str, pgr: float = 0.5, **more: Any) -> ReportRow:
    """A line of the report."""
    base = {"method": method, "config": {"share": 0.123456, "rounds": 2, "equal_steps": True, "temperature": 1.5}, "task": "chat",
            "purpose": "Exploration", "pgr": pgr, "stderr": 0.05, "split": "Feedback", "n_seeds": 2, "cost_usd": "0.012345",
            "verdict": verdict, "experiment": f"{method}{pgr}", "researcher": "r0"}  # fmt: skip
    return ReportRow.model_validate(base | more)


def report(*rows: ReportRow) -> Report:
    """A report of these lines."""
    base = BaselineRow(task="chat", split="Private", weak=0.68, weak_stderr=0.01, ceiling=0.81, ceiling_stderr=0.01, n_test=700, seeds=3)  # fmt: skip
    return Report(
        campaign="c", task="chat", stage="done", summary=Summary(opened=True, stage="done"), baselines=(base,),
        rows=rows, reference_lines=(("human researchers", 0.23),),
    )  # fmt: skip


def lines(*rows: ReportRow) -> list[str]:
    """The terminal's table."""
    return [line for line, _ in figures.terminal(report(*rows))]


def test_the_table_fits_and_cuts_nothing_off() -> None:
    said = lines(
        row("agreement-reweighting", "confirmed", reported_pgr=0.62), row("hard-labels", "baseline", config={})
    )
    assert max(map(len, said)) <= WIDTH
    assert "    share=0.123, rounds=2, equal_steps=True, temperature=1.5; explored 0.62" in said
    assert not [line for line in said if "…" in line]


def test_a_control_says_which() -> None:
    said = "\n".join(
        lines(row("a", "control", purpose="Control", note="no weak labels", reported_pgr=0.4))
        + lines(row("a", "control", purpose="Control", note="weak labels permuted"))
    )
    assert "no weak labels" in said
    assert "weak labels permuted" in said
    assert "explored" not in said


def test_exploration_is_cut_and_what_is_left_out_is_counted() -> None:
    said = lines(*(row("a", "exploration", pgr=number / 100) for number in range(figures.EXPLORED + 3)))
    assert "... and 3 more exploration runs, in report.md" in said
    assert len(figures.rows(report(*(row("a", "exploration", pgr=n / 100) for n in range(11))))) == 12


def test_another_task_is_named() -> None:
    assert any(line.startswith("a on math ") for line in lines(row("a", "confirmed", task="math")))
