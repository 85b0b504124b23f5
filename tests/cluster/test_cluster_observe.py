"""What a Job and the pods that are left of it say about the seconds that are owed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aar_operator.cluster.observe import INDEX_LABEL, INDEX_TRIES, job_view

NOW = datetime(2026, 3, 4, 12, 10, 0, tzinfo=UTC)
COUNTED, IGNORED = INDEX_TRIES
DONE = {"completedIndexes": "0", "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-03-04T12:05:00Z"}]}  # fmt: skip
LATE = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-03-04T12:05:00Z", "reason": "DeadlineExceeded"}]}  # fmt: skip


def at(clock: str) -> str:
    return f"2026-03-04T{clock}:00Z"


def in_training() -> dict[str, Any]:
    """A pod whose first step, an init container, ended after a minute, and whose second goes on."""
    fetched = {"name": "fetch", "state": {"terminated": {"exitCode": 0, "finishedAt": at("12:02")}}}
    trains = {"name": "train", "state": {"running": {"startedAt": at("12:02")}}}
    found = pod("12:00", "12:01", "")
    return found | {"status": found["status"] | {"phase": "Pending", "initContainerStatuses": [fetched, trains]}}


def lost_in_training(told: str) -> dict[str, Any]:
    """The same pod, told to end then, on a node that lost sight of it."""
    found = in_training()
    lost = {
        "name": "train",
        "state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": None}},
    }
    steps = [found["status"]["initContainerStatuses"][0], lost]
    status = found["status"] | {"phase": "Failed", "initContainerStatuses": steps}
    return {"metadata": found["metadata"] | {"deletionTimestamp": at(told)}, "status": status}


def without_an_end(told: str) -> dict[str, Any]:
    """A pod that failed, of which nobody wrote when; told to end then, or by nobody."""
    found = pod("12:00", "12:01", "")
    meta = found["metadata"] | ({"deletionTimestamp": at(told)} if told else {})
    return {"metadata": meta, "status": found["status"] | {"phase": "Failed"}}


def pod(made: str, start: str, end: str, **went_before: int) -> dict[str, Any]:
    """A pod of index 0: when it was made, when it began and when it ended, hours and minutes."""
    told = {COUNTED if name == "counted" else IGNORED: str(count) for name, count in went_before.items()}
    ended = {"name": "post", "state": {"terminated": {"exitCode": 0, "finishedAt": at(end)}}} if end else None
    meta = {"name": made, "creationTimestamp": at(made), "labels": {INDEX_LABEL: "0"}, "annotations": told}
    status = {"phase": "Succeeded" if end else "Running", "startTime": at(start), "containerStatuses": [ended] if ended else []}  # fmt: skip
    return {"metadata": meta, "status": status}


def fetching_an_image(phase: str = "Pending") -> dict[str, Any]:
    """A pod on a node that has none of its images yet."""
    found = pod("12:00", "12:01", "")
    waits = {"name": "fetch", "state": {"waiting": {"reason": "PodInitializing"}}}
    return found | {"status": found["status"] | {"phase": phase, "initContainerStatuses": [waits]}}


def fetched_late() -> dict[str, Any]:
    """A pod whose image took three minutes."""
    found = pod("12:00", "12:01", "12:06")
    fetched = {
        "name": "fetch",
        "state": {"terminated": {"exitCode": 0, "startedAt": at("12:04"), "finishedAt": at("12:05")}},
    }
    posted = {
        "name": "post",
        "state": {"terminated": {"exitCode": 0, "startedAt": at("12:05"), "finishedAt": at("12:06")}},
    }
    steps = {"initContainerStatuses": [fetched], "containerStatuses": [posted]}
    return found | {"status": found["status"] | steps}


def test_what_ran_is_named_by_digest() -> None:
    job = {"metadata": {"name": "e-1", "namespace": "n", "uid": "u"}, "spec": {"completions": 1}}
    seen = [pod("12:00", "12:01", "12:04"), pod("12:00", "12:01", "12:04"), pod("12:00", "12:01", "")]
    assert job_view(job, seen, NOW).image == ""
    for one, image in zip(seen, ("lab@sha256:2", "lab@sha256:1", ""), strict=True):
        for status in one["status"]["containerStatuses"]:
            status["imageID"] = image
    assert job_view(job, seen, NOW).image == "lab@sha256:1, lab@sha256:2"


CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], float]] = {
    "one pod, all seen": ({}, [pod("12:00", "12:01", "12:04")], 180),
    "one that runs": ({}, [pod("12:00", "12:01", "")], 540),
    "one that trains, which Kubernetes calls Pending": ({}, [in_training()], 540),
    "one whose image is fetched": ({}, [fetching_an_image()], 0),
    "one that ended while its image was fetched": ({}, [fetching_an_image("Failed")], 0),
    "one whose image took three minutes": ({}, [fetched_late()], 120),
    "one that was told to end, and nobody saw it": ({}, [without_an_end("12:04")], 180),
    "one that was told to end, of which the last step's end was lost": ({}, [lost_in_training("12:04")], 180),
    "one that no node ever began": ({}, [without_an_end("")], 0),
    "two, both seen": ({}, [pod("12:00", "12:01", "12:02"), pod("12:03", "12:03", "12:04", ignored=1)], 120),
    "an evicted one went unseen": ({}, [pod("12:03", "12:03", "12:04", ignored=1)], 180 + 60),
    "one that failed went unseen": ({}, [pod("12:03", "12:03", "12:04", counted=1)], 180 + 60),
    "one of two went unseen": (
        {}, [pod("12:01", "12:01", "12:02", ignored=1), pod("12:04", "12:04", "12:05", ignored=2)], 60 + 180 + 60),
    "none is left of one that succeeded": (DONE, [], 300),
    "none was ever let in, until the time was over": (LATE, [], 0),
    "none yet": ({}, [], 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_seconds(case: str) -> None:
    status, pods, seconds = CASES[case]
    meta = {"name": "e-1", "namespace": "n", "uid": "u"}
    job = {"metadata": meta, "spec": {"completions": 1}, "status": {"startTime": at("12:00")} | status}
    assert [one.seconds for one in job_view(job, pods, NOW).indexes] == [seconds]


def unscheduled() -> dict[str, Any]:
    """A pod that no node took."""
    found = pod("12:00", "12:01", "")
    return found | {"status": {"phase": "Pending"}}


def too_long() -> dict[str, Any]:
    """A pod that its node ended when its own time was over."""
    found = pod("12:00", "12:01", "12:04")
    return found | {"status": found["status"] | {"phase": "Failed", "reason": "DeadlineExceeded"}}


FAILED = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-03-04T12:05:00Z", "reason": "FailedIndexes"}]}  # fmt: skip
REASONS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "time was over while it ran": (LATE, [pod("12:00", "12:01", "")], "DeadlineExceeded"),
    "time was over and nothing is left": (LATE, [], "DeadlineExceeded"),
    "time was over before a node took it": (LATE, [unscheduled()], "NeverScheduled"),
    "a node took it once": (LATE, [pod("12:00", "12:01", "12:02"), unscheduled()], "DeadlineExceeded"),
    "each of its runs took too long": (FAILED, [too_long()], "DeadlineExceeded"),
    "its method failed": (FAILED, [pod("12:00", "12:01", "12:02")], "FailedIndexes"),
}


@pytest.mark.parametrize("case", REASONS)
def test_reason(case: str) -> None:
    status, pods, reason = REASONS[case]
    job = {"metadata": {"name": "e-1", "namespace": "n", "uid": "u"}, "spec": {"completions": 1}, "status": status}
    (outcome,) = job_view(job, pods, NOW).indexes
    assert outcome.reason == reason
    assert ("No node took its pod" in outcome.message) is (reason == "NeverScheduled")


BARE: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], bool]] = {
    "let run, no pod": ({}, {}, [], True),
    "let run, a pod is counted": ({}, {"active": 1}, [], False),
    "let run, a pod is seen": ({}, {}, [unscheduled()], False),
    "suspended": ({"suspend": True}, {}, [], False),
    "over": ({}, LATE, [], False),
}


@pytest.mark.parametrize("case", BARE)
def test_job_without_pods(case: str) -> None:
    spec, status, pods, bare = BARE[case]
    meta = {"name": "e-1", "namespace": "n", "uid": "u"}
    job = {"metadata": meta, "spec": spec, "status": {"startTime": at("12:00")} | status}
    assert job_view(job, pods, NOW).bare is bare
