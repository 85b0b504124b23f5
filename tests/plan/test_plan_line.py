"""A campaign's experiments: who comes before whom, who is next, how many are how far."""

from __future__ import annotations

from typing import Any

import pytest
from aar_operator.plan.line import Line


def experiment(name: str, purpose: str = "Exploration", second: int = 0, **more: Any) -> dict[str, Any]:
    """One that was made at a second; `runs`: with a Job; `phase`; `gpus` and `seeds`."""
    status: dict[str, Any] = {"phase": more.get("phase", "Pending")}
    if more.get("runs"):
        status = {"phase": more.get("phase", "Running"), "jobRef": {"name": f"{name}-1", "uid": "u"}}
    meta = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{second:02}Z"}
    spec = {"purpose": purpose, "seeds": more.get("seeds", 1), "resources": {"gpus": more.get("gpus", 0)}}
    return {"metadata": meta, "spec": spec, "status": status}


def suspended(name: str, **more: Any) -> dict[str, Any]:
    one = experiment(name, **more)
    return one | {"spec": one["spec"] | {"desiredState": "Suspended"}}


def refused(name: str, **more: Any) -> dict[str, Any]:
    one = experiment(name, **more)
    return one | {"status": one["status"] | {"conditions": [{"type": "Accepted", "status": "False"}]}}


def line(*manifests: dict[str, Any]) -> Line:
    made = Line()
    for one in manifests:
        made.note(one)
    return made


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [
        (experiment("a", second=1), experiment("b", second=2), True),
        (experiment("a", second=2), experiment("b", second=1), False),
        (experiment("a", second=1), experiment("b", second=1), True),
        (experiment("own", second=1), experiment("teacher", "Baseline", 9), False),
        (experiment("teacher", "Baseline", 9), experiment("own", second=1), True),
        (experiment("own", second=9, runs=True), experiment("teacher", "Baseline", 1), True),
        (experiment("again", "Replication", 1), experiment("b", second=2), False),
        (experiment("a", second=1, phase="Complete"), experiment("b", second=2), False),
        (experiment("a", second=1, runs=True, phase="Failed"), experiment("b", second=2), False),
        (suspended("a", second=1), experiment("b", second=2), False),
        (suspended("a", second=1, runs=True), experiment("b", second=2), True),
        (refused("a", second=1), experiment("b", second=2), False),
    ],
    ids=["older", "younger", "by name", "own before baselines", "baselines after own", "one that runs", "verification",
         "one that is over", "one that ran", "one that is suspended", "one that is suspended with its Job",
         "one that cannot run as it is"],
)  # fmt: skip
def test_order(one: dict[str, Any], other: dict[str, Any], first: bool) -> None:
    assert line(one, other).ahead(other)[0] == first


def test_gpus_of_all_seeds_of_those_before() -> None:
    own = experiment("z", second=9, gpus=4)
    assert line(experiment("a", gpus=2, seeds=3), experiment("b", gpus=1, runs=True), own).ahead(own) == (2, 7)


def test_one_that_the_line_does_not_know_yet() -> None:
    assert line(experiment("a", second=1)).ahead(experiment("b", second=2)) == (1, 0)


RUNNING = [experiment(f"r{i}", runs=True) for i in range(2)]
WAITING = [experiment(f"w{i}", second=i, phase="Queued") for i in range(1, 5)]
NEXT: dict[str, tuple[list[dict[str, Any]], int, list[str]]] = {
    "nobody waits": (RUNNING, 9, []),
    "no place": (RUNNING + WAITING, 2, []),
    "one place": (RUNNING + WAITING, 3, ["w1"]),
    "two places": (RUNNING + WAITING, 4, ["w1", "w2"]),
    "more places than wait": (RUNNING + WAITING, 99, ["w1", "w2", "w3", "w4"]),
    "fewer places than run": (RUNNING + WAITING, 1, []),
    "one that is looked at anyway has the place": ([experiment("a"), *WAITING], 2, ["w1"]),
    "ones that cannot run have no place": (
        [suspended("s", phase="Queued"), refused("t", phase="Queued"), *WAITING],
        1,
        ["w1"],
    ),
    "one that waits with its Job holds a place": ([experiment("q", runs=True, phase="Queued"), *WAITING], 2, ["w1"]),
}


@pytest.mark.parametrize("case", NEXT)
def test_next(case: str) -> None:
    there, places, wanted = NEXT[case]
    assert line(*reversed(there)).next(places) == wanted


def test_one_that_is_to_have_a_job_holds_its_place_before_its_status_says_so() -> None:
    younger, older = experiment("b"), experiment("a")
    known = line(younger, older, experiment("w", second=9, phase="Queued"))
    known.begin("b", True)
    known.note(younger)  # as when its finalizer is set
    assert (known.ahead(older)[0], known.next(2)) == (1, [])
    known.begin("b", False)
    assert known.ahead(older)[0] == 0
    known.begin("b", True)
    known.note(experiment("b", phase="Failed"))
    known.note(younger)
    assert known.ahead(older)[0] == 0, "one that ended holds nothing, and neither does another of its name"


def test_what_cannot_run_does_not_keep_research_from_ending() -> None:
    assert not line(suspended("a"), refused("b")).exploring
    assert line(suspended("a", runs=True)).exploring


def test_counts_follow_every_change() -> None:
    known = line(experiment("a"), experiment("b"), experiment("v", "Control"))
    assert (dict(known.phases), known.exploring, list(known)) == ({"Pending": 3}, True, ["a", "b", "v"])
    known.note(experiment("a", phase="Complete"))
    known.note(experiment("b", phase="Running", runs=True))
    known.forget("b")
    known.forget("b")
    assert +known.phases == {"Pending": 1, "Complete": 1}
    assert (known.exploring, list(known)) == (False, ["v"])
