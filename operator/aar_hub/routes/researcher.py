"""What a researcher asks."""

from __future__ import annotations

from typing import Any

from aar_api.wire import FindingPost, Finish, SnapshotUpload, Submission, TranscriptLines

from aar_hub import catalogue, forum, progress, records, snapshots, submissions, transcript, views
from aar_hub.routes._http import Call, route
from aar_hub.store import tables


def _brief(call: Call) -> Any:
    return progress.brief(call.hub, call.caller.subject)


def _methods(call: Call) -> Any:
    with call.hub.db.read() as tx:
        return catalogue.cards(tx)


def _upload(call: Call) -> Any:
    with call.hub.db.write() as tx:
        return snapshots.put(tx, call.hub, call.read(SnapshotUpload), call.caller.subject)


def _snapshot(call: Call) -> Any:
    with call.hub.db.read() as tx:
        return snapshots.get(tx, call.hub, call.path("digest"))


def _submit(call: Call) -> Any:
    return submissions.submit(call.hub, call.caller.subject, call.read(Submission))


def _experiments(call: Call) -> Any:
    with call.hub.db.read() as tx:
        mine = records.experiments(tx, tables.experiments.c.researcher == call.caller.subject)
        campaign = records.campaign(tx)
        return [views.experiment(tx, campaign, exp) for exp in mine]


def _experiment(call: Call) -> Any:
    with call.hub.db.read() as tx:
        exp = submissions.own(tx, call.caller.subject, call.path("name"))
        return views.experiment(tx, records.campaign(tx), exp)


def _cancel(call: Call) -> Any:
    return submissions.cancel(call.hub, call.caller.subject, call.path("name"))


def _leaderboard(call: Call) -> Any:
    with call.hub.db.read() as tx:
        return views.leaderboard(tx)


def _post(call: Call) -> Any:
    return forum.post(call.hub, call.caller.subject, call.read(FindingPost))


def _findings(call: Call) -> Any:
    with call.hub.db.read() as tx:
        return forum.since(tx, call.number("since", 0))


def _finish(call: Call) -> Any:
    return forum.finish(call.hub, call.caller.subject, call.read(Finish).reason)


def _transcript(call: Call) -> Any:
    return transcript.append(call.hub, call.caller.subject, call.read(TranscriptLines))


WHO = ("researcher",)
ROUTES = [
    route("GET", "/v1/brief", WHO, _brief),
    route("GET", "/v1/methods", WHO, _methods),
    route("POST", "/v1/snapshots", WHO, _upload),
    route("GET", "/v1/snapshots/{digest}", WHO, _snapshot),
    route("POST", "/v1/experiments", WHO, _submit),
    route("GET", "/v1/experiments", WHO, _experiments),
    route("GET", "/v1/experiments/{name}", WHO, _experiment),
    route("POST", "/v1/experiments/{name}/cancel", WHO, _cancel),
    route("GET", "/v1/leaderboard", WHO, _leaderboard),
    route("POST", "/v1/findings", WHO, _post),
    route("GET", "/v1/findings", WHO, _findings),
    route("POST", "/v1/finish", WHO, _finish),
    route("POST", "/v1/transcript", WHO, _transcript),
]
