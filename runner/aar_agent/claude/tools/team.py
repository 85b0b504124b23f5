"""The forum, the leaderboard and colleagues' code. What others wrote is shown as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from aar_api.wire import Finding, FindingPost, LeaderboardRow
from pydantic import Field

from aar_agent.claude.tools import Asked, Bench, Tool, frame, show

MOST_READ = 20
MOST_ROWS = 50
TEXT_CHARS = 4_000
"""Of one post's text that is shown."""
Kind = Literal["result", "hypothesis", "insight", "error"]


class Share(Asked):
    """A finding to post."""

    type: Kind = Field(description="result: measured. hypothesis: not yet. insight: understood. error: a dead end.")
    title: str = Field(min_length=1, max_length=200, description="One line, at most 200 characters.")
    summary_md: str = Field(
        max_length=16_000, description="What was done and what it shows, at most 16,000 characters."
    )
    experiment_ids: list[str] = Field(max_length=16, description="Experiments it rests on; the hub adds their numbers.")
    builds_on: list[str] = Field(default=[], max_length=16, description="Findings or experiments it follows from.")


class Read(Asked):
    """Findings to read."""

    query: str = Field(default="", description="Words that must all occur.")
    type: Literal["any", "result", "hypothesis", "insight", "error"] = Field(default="any")
    author: str = Field(default="", description="A colleague's name.")
    since_id: int = Field(default=0, ge=0, description="Only posts with a higher id.")
    limit: int = Field(default=10, ge=1, le=MOST_READ, description=f"1 to {MOST_READ}, the latest first.")


class Board(Asked):
    """How much of the leaderboard."""

    limit: int = Field(default=10, ge=1, le=MOST_ROWS, description=f"1 to {MOST_ROWS}.")


class Download(Asked):
    """A snapshot to fetch."""

    snapshot_id: Annotated[str, Field(pattern=r"^sha256:[a-f0-9]{64}$")] = Field(
        description="As the leaderboard names it."
    )
    target_dir: str = Field(description="A new folder in the workspace.")


def share(bench: Bench, call: str, asked: Share) -> str:
    """Post; the same call again is the same post."""
    base = f"\n\nBuilds on: {', '.join(asked.builds_on)}" if asked.builds_on else ""
    text = (asked.summary_md + base)[:16_384]
    post = FindingPost(kind=asked.type, title=asked.title, text=text, experiments=tuple(asked.experiment_ids), key=call)
    kept = bench.desk.hub.post_finding(post)
    return show({"finding_id": kept.id, "results": [_row(row) for row in kept.results]})


def read(bench: Bench, _: str, asked: Read) -> str:
    """Posts that match."""
    words = asked.query.lower().split()
    found = [
        post
        for post in _posts_since(bench, asked.since_id)
        if asked.type in ("any", post.kind)
        and asked.author in ("", post.author)
        and all(word in f"{post.title} {post.text}".lower() for word in words)
    ]
    shown = found[::-1][: asked.limit]
    return frame(f"{len(shown)} of {len(found)} findings, the latest first.", [_post(post, bench) for post in shown])


def _posts_since(bench: Bench, last: int) -> Iterator[Finding]:
    """All of them: the hub answers a page at a time, the oldest first."""
    while page := bench.desk.hub.findings(last):
        yield from page
        last = page[-1].id


def board(bench: Bench, _: str, asked: Board) -> str:
    """The best so far."""
    rows = bench.desk.hub.leaderboard()
    return frame(f"The best {min(asked.limit, len(rows))} of {len(rows)}.", [_row(row) for row in rows[: asked.limit]])


def download(bench: Bench, _: str, asked: Download) -> str:
    """Fetch code; a folder that already has just this is as good."""
    place = bench.workspace.path(asked.target_dir)
    kept = bench.desk.hub.snapshot(asked.snapshot_id)
    if not bench.workspace.holds(place, kept.digest):
        bench.workspace.unpack(kept.digest, kept.files, asked.target_dir)
    what = {"author": kept.author, "files": sorted(kept.files), "in": asked.target_dir}
    return frame("Fetched. Read it before you run any of it: it is a colleague's code.", what)


def _post(post: Finding, bench: Bench) -> dict[str, object]:
    cut = post.text if len(post.text) <= TEXT_CHARS else f"{post.text[:TEXT_CHARS]} [... cut]"
    mine = post.author == bench.brief.researcher
    return {
        "id": post.id,
        "from": "the owner of the campaign" if post.owner else "you" if mine else f"colleague {post.author}",
        "type": post.kind,
        "title": post.title,
        "text": cut,
        "results": [_row(row) for row in post.results],
    }


def _row(row: LeaderboardRow) -> dict[str, object]:
    return {
        "rank": row.rank,
        "experiment_id": row.experiment,
        "researcher": row.researcher,
        "name": row.label,
        "pgr": row.pgr,
        "stderr": row.stderr,
        "seeds": row.n_seeds,
        "config": row.config,
        "snapshot_id": row.snapshot,
    }


TOOLS = (
    Tool(
        "share_finding",
        "Tell your colleagues. Numbers come from the experiments you name.",
        Share,
        share,
        boundary=True,
    ),
    Tool("read_findings", "Read what was posted.", Read, read),
    Tool("get_leaderboard", "The best scored configurations of the whole team.", Board, board),
    Tool("download_snapshot", "Fetch the code of a scored experiment into a new folder.", Download, download),
)
