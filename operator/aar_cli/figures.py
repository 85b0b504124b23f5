"""The final figures, worded once: a table for the page, and lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from aar_api.wire import Report, ReportRow

HEAD = ("Method", "Task", "PGR", "SE", "Seeds", "Half", "Cost USD", "Verdict")
BASELINE_HEAD = ("Task", "Half", "W (weak teacher)", "C (true labels)", "Test items", "Seeds")
EXPLORED = 8
"""Exploration runs in the terminal; report.md has all."""
INDENT = "    "
_ORDER = {"confirmed": 0, "not confirmed": 1, "baseline": 2, "control": 3, "exploration": 4}
_SHORT_HEAD = ("Method", "PGR", "Seeds", "Half", "Cost USD", "Verdict")
_RIGHT = {"PGR", "SE", "Seeds", "Cost USD", "Test items"}


def ranked(report: Report) -> list[ReportRow]:
    """Confirmed first, then by PGR."""
    return sorted(report.rows, key=lambda row: (_ORDER[row.verdict], -row.pgr, row.experiment))


def rows(report: Report) -> list[tuple[str, ...]]:
    """Every line of the table under HEAD; the published figures come last."""
    lines = [_line(row) for row in ranked(report)]
    lines += [
        (f"{name} (published)", "", f"{pgr:.2f}", "", "", "", "", "reference") for name, pgr in report.reference_lines
    ]
    return lines


def _line(row: ReportRow) -> tuple[str, ...]:
    config = configuration(row)
    method = f"{row.method} ({config})" if config else row.method
    told = "; ".join(_remarks(row))
    verdict = f"{row.verdict} ({told})" if told else row.verdict
    return (method, row.task, f"{row.pgr:.2f}", f"{row.stderr:.2f}", str(row.n_seeds), row.split, row.cost_usd, verdict)


def configuration(row: ReportRow) -> str:
    """Hyper-parameters, numbers to three digits."""
    return ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.config.items())


def _remarks(row: ReportRow) -> list[str]:
    """What a figure needs beside it: which control it is, what exploration had promised, what an audit found."""
    said = ["vanilla, which winners have to beat"] if row.verdict == "baseline" else []
    if row.reported_pgr is not None and row.purpose != "Control":
        said.append(f"explored {row.reported_pgr:.2f}")
    return [*said, row.note] if row.note else said


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


def headline(report: Report) -> str:
    """The result in one sentence."""
    best = report.summary.best
    if best is None:
        return "Nothing was scored."
    sure = f"confirmed on fresh seeds and the private half{best.elsewhere}"
    told = sure if best.confirmed else "not confirmed: take it as a guess"
    return f"Best: {best.method}, PGR {best.pgr:.2f} ± {best.stderr:.2f}, {told}."


def not_run(report: Report) -> list[str]:
    """A sentence a transfer task that could not be prepared."""
    return [f"Not run on the transfer task {task}: {why}" for task, why in report.not_run]


def terminal(report: Report) -> list[tuple[str, str]]:
    """(Line, style) for a terminal of 80 columns: each run, and under it, dim, what would not fit beside it."""
    base = aligned(BASELINE_HEAD, baselines(report))
    shown, left_out = _shortened(ranked(report))
    cells = [_short(report, row) for row in shown]
    cells += [
        (name, f"{pgr:.2f}{' ' * len(' ± 0.00')}", "", "", "", "published") for name, pgr in report.reference_lines
    ]
    head, *table = aligned(_SHORT_HEAD, cells)
    lines = [(line, "bold" if i == 0 else "") for i, line in enumerate(base)] + [("", ""), (head, "bold")]
    for i, line in enumerate(table):
        row = shown[i] if i < len(shown) else None
        lines.append((line, "green" if row is not None and row.verdict == "confirmed" else ""))
        details = [] if row is None else [*filter(None, [configuration(row)]), *_remarks(row)]
        lines += [(INDENT + "; ".join(details), "dim")] if details else []
    if left_out:
        lines.append((f"... and {left_out} more exploration runs, in report.md", "dim"))
    lines += [(line, "yellow") for line in not_run(report)]
    return [*lines, ("", ""), (headline(report), "bold")]


def _shortened(every: list[ReportRow]) -> tuple[list[ReportRow], int]:
    """All that verification ran, and the best of exploration; how many are left out."""
    verified = [row for row in every if row.verdict != "exploration"]
    explored = [row for row in every if row.verdict == "exploration"]
    return verified + explored[:EXPLORED], len(explored[EXPLORED:])


def _short(report: Report, row: ReportRow) -> tuple[str, ...]:
    method = row.method if row.task == report.task else f"{row.method} on {row.task}"
    return (method, f"{row.pgr:.2f} ± {row.stderr:.2f}", str(row.n_seeds), row.split, row.cost_usd, row.verdict)


def aligned(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Head and rows as lines with columns two spaces apart; numbers stand to the right."""
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *cells)
    ]
