"""What the operator asks; a viewer may read some of it."""

from __future__ import annotations

from typing import Any

from aar_api.wire import AdmissionRequest, CampaignOpening, Settlement, StageChange, TokenAnswer

from aar_hub import admission, auth, opening, progress, records, report, settlement, transcript, views
from aar_hub.gateway import record
from aar_hub.routes._http import Call, route
from aar_hub.store import tables

OPERATOR = ("operator",)
READERS = ("operator", "viewer")


def _open(call: Call) -> Any:
    return opening.open_campaign(call.hub, call.read(CampaignOpening))


def _in_force(call: Call) -> Any:
    return opening.in_force(call.hub)


def _feed(call: Call) -> Any:
    return progress.feed(call.hub, call.number("cursor", 0))


def _summary(call: Call) -> Any:
    return progress.summary(call.hub)


def _stage(call: Call) -> Any:
    progress.move(call.hub, call.read(StageChange))
    return progress.summary(call.hub)


def _admit(call: Call) -> Any:
    return admission.admit(call.hub, call.path("name"), call.read(AdmissionRequest))


def _settle(call: Call) -> Any:
    return settlement.settle(call.hub, call.path("name"), call.read(Settlement))


def _experiments(call: Call) -> Any:
    with call.hub.db.read() as tx:
        campaign = records.campaign(tx)
        wanted = (tables.experiments.c.state.in_(records.UNSETTLED),) if call.number("unsettled", 0) else ()
        return [views.experiment(tx, campaign, exp) for exp in records.experiments(tx, *wanted)]


def _token(call: Call) -> Any:
    with call.hub.db.read() as tx:
        uid = records.campaign(tx).uid
    return TokenAnswer(token=auth.issue(call.hub, uid, call.path("role"), call.path("subject")))


def _report(call: Call) -> Any:
    return report.report(call.hub)


def _llm_calls(call: Call) -> Any:
    return record.calls(call.hub, call.number("since", 0), call.word("researcher"))


def _llm_call(call: Call) -> Any:
    return record.whole(call.hub, int(call.path("number")))


def _transcript(call: Call) -> Any:
    return transcript.since(call.hub, call.path("name"), call.number("since", 0))


ROUTES = [
    route("PUT", "/v1/operator/campaign", OPERATOR, _open),
    route("GET", "/v1/operator/campaign", OPERATOR, _in_force),
    route("GET", "/v1/operator/feed", OPERATOR, _feed),
    route("GET", "/v1/operator/summary", READERS, _summary),
    route("PUT", "/v1/operator/stage", OPERATOR, _stage),
    route("PUT", "/v1/operator/experiments/{name}/admission", OPERATOR, _admit),
    route("PUT", "/v1/operator/experiments/{name}/settlement", OPERATOR, _settle),
    route("GET", "/v1/operator/experiments", READERS, _experiments),
    route("GET", "/v1/operator/tokens/{role}/{subject}", OPERATOR, _token),
    route("GET", "/v1/operator/report", READERS, _report),
    route("GET", "/v1/operator/llm/calls", READERS, _llm_calls),
    route("GET", "/v1/operator/llm/calls/{number:int}", READERS, _llm_call),
    route("GET", "/v1/operator/researchers/{name}/transcript", READERS, _transcript),
]
