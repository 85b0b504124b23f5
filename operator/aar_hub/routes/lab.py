"""What a lab Job asks: its assignment and bundle, and where to put the output. The experiment is the token's, never the caller's to name."""

from __future__ import annotations

from typing import Any

from aar_api.files import LabReport
from aar_api.wire import MethodCard

from aar_hub import lab_files
from aar_hub.routes._http import Call, route

FETCH = ("lab-fetch", "baseline")
POST = ("lab-post", "baseline")
MAX_OUTPUT_BYTES = 512 << 20
"""Features of a hundred thousand texts, 2048 numbers wide, in half precision."""


def _assignment(call: Call) -> Any:
    return lab_files.assignment(call.hub, call.caller.subject, call.number("index"))


def _bundle(call: Call) -> Any:
    labelled = call.caller.role == "baseline"
    return lab_files.bundle(call.hub, call.caller.subject, call.number("index"), labelled=labelled)


def _snapshot(call: Call) -> Any:
    return lab_files.snapshot(call.hub, call.caller.subject)


def _output(call: Call) -> Any:
    return lab_files.take_output(call.hub, call.caller.subject, call.number("index"), call.body)


def _failure(call: Call) -> Any:
    return lab_files.take_failure(call.hub, call.caller.subject, call.number("index"), call.read(LabReport))


def _catalogue(call: Call) -> Any:
    return lab_files.take_catalogue(call.hub, call.caller.subject, call.read(list[MethodCard]))


ROUTES = [
    route("GET", "/v1/lab/assignment", FETCH, _assignment),
    route("GET", "/v1/lab/bundle", FETCH, _bundle),
    route("GET", "/v1/lab/snapshot", FETCH, _snapshot),
    route("POST", "/v1/lab/output", POST, _output, limit=MAX_OUTPUT_BYTES),
    route("POST", "/v1/lab/failure", POST, _failure),
    route("POST", "/v1/lab/catalogue", ("baseline",), _catalogue),
]
