"""The notebook, and being done."""

from __future__ import annotations

from pydantic import Field

from aar_agent.claude.errors import ToolFailed
from aar_agent.claude.tools import Asked, Bench, Tool
from aar_agent.claude.workspace import NOTEBOOK, Section

LEFT_SECONDS = 120.0
"""With less time than this nothing more can be tried."""


class Note(Asked):
    """Something to remember."""

    section: Section
    text: str = Field(min_length=1, max_length=8_000, description="At most 8,000 characters.")


class Finish(Asked):
    """Being done."""

    reason: str = Field(min_length=1, max_length=500, description="What is known now, and why nothing is left to try.")


def note(bench: Bench, _: str, asked: Note) -> str:
    """Add to a section; what stands there at its end already is not added again."""
    path = bench.workspace.path(NOTEBOOK)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    head = f"## {asked.section}"
    before, found, after = f"\n{text}".partition(f"\n{head}\n")
    if not found:
        before, after = f"\n{text.rstrip()}\n", ""
    body, next_head, rest = after.partition("\n## ")
    if not body.rstrip().endswith(asked.text.strip()):
        body = f"{body.rstrip()}\n\n{asked.text.strip()}"
    whole = f"{before}\n{head}\n\n{body.strip()}\n{next_head}{rest}"
    path.write_text(whole.lstrip("\n"), encoding="utf-8")
    return f"Noted under {asked.section}."


def finish(bench: Bench, _: str, asked: Finish) -> str:
    """Accepted when nothing runs, and nothing could be run or it is asked for the second time."""
    brief = bench.desk.hub.brief()
    running = [view.name for view in bench.desk.hub.experiments() if view.state in ("submitted", "waiting", "admitted")]
    if running:
        raise ToolFailed(f"{', '.join(running)} still runs: wait for it, or cancel it, then finish.")
    purse = brief.purse
    time_left = purse.seconds_left is None or purse.seconds_left > LEFT_SECONDS
    bench.finishes += 1
    if min(purse.submissions_left, purse.experiments_left) > 0 and time_left and bench.finishes < 2:
        raise ToolFailed(
            f"You have {purse.submissions_left} submissions left. If nothing is worth trying, a null result included, "
            "write down what you know, share it, and call finish again."
        )
    return "Accepted. Thank you."


TOOLS = (
    Tool("note", f"Add to a section of {NOTEBOOK}, which outlives every loss of memory.", Note, note, boundary=True),
    Tool("finish", "Say that you are done. Asked back once while there is something left to try with.", Finish, finish),
)
