"""The final table, written once for the terminal and the page."""

from __future__ import annotations

from aar_api.wire import Report, ReportRow

HEAD = ("Method", "Task", "PGR", "SE", "Seeds", "Half", "Cost USD", "Verdict")
_ORDER = {"confirmed": 0, "not confirmed": 1, "baseline": 2, "control": 3, "exploration": 4}


def ranked(report: Report) -> list[ReportRow]:
    """Confirmed first, then by PGR."""
    return sorted(report.rows, key=lambda row: (_ORDER[row.verdict], -row.pgr, row.experiment))


def rows(report: Report, limit: int | None = None) -> list[tuple[str, ...]]:
    """The lines of the table under HEAD; the published figures come last."""
    shown = ranked(report)
    shown = shown if limit is None else shown[:limit]
    lines = [_line(row) for row in shown]
    lines += [
        (f"{name} (published)", "", f"{pgr:.2f}", "", "", "", "", "reference") for name, pgr in report.reference_lines
    ]
    return lines


def _line(row: ReportRow) -> tuple[str, ...]:
    config = ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.config.items())
    method = f"{row.method} ({config})" if config else row.method
    verdict = row.verdict if row.reported_pgr is None else f"{row.verdict} (explored {row.reported_pgr:.2f})"
    return (method, row.task, f"{row.pgr:.2f}", f"{row.stderr:.2f}", str(row.n_seeds), row.split, row.cost_usd, verdict)


def baselines(report: Report) -> list[tuple[str, ...]]:
    """Task, half, W and C with their errors."""
    return [
        (
            one.task,
            one.split,
            f"{one.weak:.3f} ± {one.weak_stderr:.3f}",
            f"{one.ceiling:.3f} ± {one.ceiling_stderr:.3f}",
            str(one.n_test),
            str(one.seeds),
        )
        for one in report.baselines
    ]


BASELINE_HEAD = ("Task", "Half", "W (weak teacher)", "C (strong, true labels)", "Test items", "Seeds")
