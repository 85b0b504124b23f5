"""Experiments: submitted by name of a folder, scored where no researcher can reach, read by name."""

from __future__ import annotations

import time
from typing import Any, Literal

from aar_api.base import Scalar
from aar_api.wire import ExperimentView, SnapshotUpload, Submission
from pydantic import Field, ValidationError

from aar_agent.claude.errors import ToolFailed
from aar_agent.claude.tools import Asked, Bench, Tool, show

OVER = ("scored", "failed", "refused", "cancelled")
POLL_SECONDS = 0.5
LONGEST_POLL_SECONDS = 10.0
LOG_CHARS = 4_000
"""End of a failed seed's log that is shown unless more is asked for."""
WAIT_LOG_CHARS = 600
MOST_LOG_CHARS = 4_000


class Setting(Asked):
    """One entry of `lab.config`."""

    name: str
    value: Scalar


class Submit(Asked):
    """An experiment to run."""

    name: str = Field(min_length=1, max_length=63, description="What you call the method, at most 63 characters.")
    hypothesis: str = Field(max_length=8192, description="What you expect and why; what would prove you wrong.")
    entrypoint: str = Field(description="Folder that holds method.py, or a Python file that is used as method.py.")
    config: list[Setting] = Field(max_length=64, description="What the method finds in lab.config.")
    seeds: int = Field(ge=1, le=8, description="How many seeds, from 1; the hub draws them.")
    stage: Literal["smoke", "full"] = Field(
        description="smoke: a few steps, to see whether it runs, without a score; as many as submissions. full: scored; counts as a submission."
    )
    builds_on: list[str] = Field(
        default=[], max_length=16, description="Snapshot ids of colleagues' code that it derives from."
    )


class Wait(Asked):
    """Experiments to wait for."""

    experiment_ids: list[str] = Field(min_length=1, max_length=64)
    until: Literal["any", "all"] = Field(description="Until one of them is over, or all are.")
    timeout_minutes: int = Field(ge=1, le=50, description="1 to 50.")


class Get(Asked):
    """An experiment to look at."""

    experiment_id: str
    log_chars: int = Field(
        default=LOG_CHARS, ge=0, le=MOST_LOG_CHARS, description=f"End of a failed seed's log, 0 to {MOST_LOG_CHARS}."
    )


class Cancel(Asked):
    """An experiment to end."""

    experiment_id: str
    reason: str = Field(max_length=512)


def submit(bench: Bench, call: str, asked: Submit) -> str:
    """Keep the code, ask for the run, keep a commit; the same call again is the same experiment."""
    files, origins = bench.workspace.method(asked.entrypoint)
    try:
        upload = SnapshotUpload.model_validate(
            {"files": files, "parents": tuple(dict.fromkeys(origins + asked.builds_on))}
        )
        kept = bench.desk.hub.upload(upload)
        submission = Submission(
            key=call,
            snapshot=kept.digest,
            label=asked.name,
            config={one.name: one.value for one in asked.config},
            seeds=asked.seeds,
            hypothesis=asked.hypothesis,
            smoke=asked.stage == "smoke",
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ToolFailed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}: correct it.") from None
    view = bench.desk.hub.submit(submission)
    bench.asked_hub = True
    bench.workspace.commit(asked.entrypoint, f"Submit {asked.name} as {view.name}")
    return show(brief_view(view, 0))


def wait(bench: Bench, _: str, asked: Wait) -> str:
    """Look again and again; how it stands at the end."""
    ends, quiet = time.monotonic() + 60 * asked.timeout_minutes, POLL_SECONDS
    while True:
        views = [bench.desk.hub.experiment(name) for name in asked.experiment_ids]
        over = [view.state in OVER for view in views]
        done = all(over) if asked.until == "all" else any(over)
        if done or time.monotonic() >= ends:
            bench.asked_hub = True
            return show({"timed_out": not done, "experiments": [brief_view(view, WAIT_LOG_CHARS) for view in views]})
        bench.desk.pause(min(quiet, max(0.0, ends - time.monotonic())))
        quiet = min(1.2 * quiet, LONGEST_POLL_SECONDS)


def get(bench: Bench, _: str, asked: Get) -> str:
    """How one stands."""
    return show(brief_view(bench.desk.hub.experiment(asked.experiment_id), asked.log_chars))


def cancel(bench: Bench, _: str, asked: Cancel) -> str:
    """End one."""
    bench.desk.log.info("cancel %s: %s", asked.experiment_id, asked.reason)
    bench.asked_hub = True
    return show(brief_view(bench.desk.hub.cancel(asked.experiment_id), 0))


def brief_view(view: ExperimentView, log_chars: int) -> dict[str, Any]:
    """What a model needs of an experiment; logs only of seeds that failed."""
    made: dict[str, Any] = {
        "experiment_id": view.name,
        "state": view.state,
        "stage": "smoke" if view.purpose == "Smoke" else "full",
        "name": view.label,
        "config": view.config,
        "snapshot_id": view.snapshot,
        "seeds": len(view.seeds),
        "cost_usd": view.cost_usd,
    }
    if view.score is not None:
        made |= {"pgr": view.score.pgr, "stderr": view.score.stderr}
    if view.message:
        made |= {"reason": view.reason, "message": view.message}
    if view.duplicate_of is not None:
        made["duplicate_of"] = view.duplicate_of
    failed = [seed for seed in view.seeds if seed.ok is False]
    if failed:
        made["failed_seeds"] = [
            {"index": seed.index, "reason": seed.reason, "message": seed.message}
            | ({"log_end": seed.log_tail[-log_chars:]} if log_chars and seed.log_tail else {})
            for seed in failed
        ]
    return made


TOOLS = (
    Tool(
        "submit_experiment",
        "Run a method on the task. The code is kept as a snapshot; the hub draws the seeds, trains elsewhere and scores. "
        "Returns at once with the experiment's id: go on working, or wait_experiments.",
        Submit,
        submit,
    ),
    Tool(
        "wait_experiments", "Wait until experiments are over; costs nothing while it waits.", Wait, wait, boundary=True
    ),
    Tool(
        "get_experiment",
        "State and score of an experiment, and the end of the log of a seed that failed. Logs are told up to a limit a campaign: print little.",
        Get,
        get,
    ),
    Tool("cancel_experiment", "End an experiment that is of no use any more.", Cancel, cancel),
)
