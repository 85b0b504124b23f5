"""report.json to report.md, report.svg and report.png."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from aar_api.wire import Report
from matplotlib.figure import Figure
from pydantic import ValidationError

from aar_cli import figures
from aar_cli.errors import BadFile


def read(folder: Path) -> Report:
    """The report of a run.

    Raises:
        BadFile: there is none, or it is of another version.
    """
    path = folder / "report.json"
    try:
        return Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadFile(f"{path} does not exist: name the directory of a run that got as far as its baselines.") from None
    except ValidationError as error:
        raise BadFile(
            f"{path} is no report of this version of aar ({error.error_count()} mistakes): run the campaign again."
        ) from None


def write(report: Report, folder: Path) -> list[Path]:
    """The page and its plot; the files written."""
    picture = draw(report)
    paths = [folder / "report.md", folder / "report.svg", folder / "report.png"]
    paths[0].write_text(markdown(report), encoding="utf-8")
    with mpl.rc_context({"svg.hashsalt": "aar"}):
        picture.savefig(paths[1], metadata={"Date": None})
    picture.savefig(paths[2], dpi=150)
    return paths


def markdown(report: Report) -> str:
    """The page."""
    spend = report.summary.spend
    lines = [
        f"# {report.campaign}: {report.task}",
        "",
        figures.headline(report),
        "",
        f"Spent {spend.total_usd} of {report.summary.limit_usd} USD.",
        "",
    ]
    lines += ["![PGR of every experiment](report.svg)", "", "## Baselines", ""]
    lines += [*_table(figures.BASELINE_HEAD, figures.baselines(report)), "", "## Methods", ""]
    lines += [
        *_table(figures.HEAD, figures.rows(report)),
        "",
        *(part for line in figures.not_run(report) for part in (line, "")),
        "PGR is (A - W) / (C - W). SE includes seeds, test items, W and C.",
        "",
    ]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *cells)]


def draw(report: Report) -> Figure:
    """Every exploration score in order, the best so far, what was confirmed, and the reference lines."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    scored = [one for one in report.timeline if one.get("pgr") is not None]
    researchers = sorted({str(one.get("researcher", "")) for one in scored})
    for number, name in enumerate(researchers):
        mine = [(i, one) for i, one in enumerate(scored, 1) if str(one.get("researcher", "")) == name]
        axes.errorbar(
            [i for i, _ in mine], [one["pgr"] for _, one in mine], yerr=[one.get("stderr") or 0.0 for _, one in mine],
            fmt="o", ms=4, lw=0.8, alpha=0.75, color=f"C{number}", label=f"explored by {name}",
        )  # fmt: skip
    best = [max(one["pgr"] for one in scored[: i + 1]) for i in range(len(scored))]
    axes.step(range(1, len(best) + 1), best, where="post", color="0.6", lw=1, label="best so far")
    for place, row in enumerate(
        [r for r in figures.ranked(report) if r.verdict in ("confirmed", "not confirmed")], len(scored) + 2
    ):
        good = row.verdict == "confirmed"
        axes.errorbar(
            [place], [row.pgr], yerr=[row.stderr], fmt="D", color="tab:green" if good else "tab:red", capsize=3
        )
        axes.annotate(row.method, (place, row.pgr), textcoords="offset points", xytext=(5, 4), fontsize=7)
    for name, pgr in (*report.reference_lines, ("weak teacher W", 0.0), ("ceiling C", 1.0)):
        axes.axhline(pgr, ls="--", lw=0.8, color="0.5")
        axes.text(0.0, pgr, name, fontsize=7, color="0.3", va="bottom", transform=axes.get_yaxis_transform())
    axes.set(
        xlabel="experiment, then verification (diamonds)",
        ylabel="performance gap recovered",
        title=f"{report.campaign}: {report.task}",
    )
    if scored:
        axes.legend(fontsize=7, loc="lower right")
    return figure
