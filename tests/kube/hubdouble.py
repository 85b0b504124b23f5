"""A hub for every campaign of a test, over real HTTP: the operator's routes of aar_api.wire, with a script in place of science.

The hub of the campaign whose hub namespace is N is at `/N`; `AAR_HUB_URL_TEMPLATE` leads the operator here.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvicorn
from aar_api.campaign import Spend
from aar_api.wire import (
    AdmissionAnswer,
    AdmissionRequest,
    CampaignOpening,
    ErrorBody,
    ExperimentView,
    FeedEvent,
    FeedPage,
    ScoreView,
    SeedView,
    Settlement,
    StageChange,
    Summary,
    TokenAnswer,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

RECEIPT = "sha256:" + "0" * 64


@dataclass
class OneHub:
    """The state of one campaign's hub."""

    opening: CampaignOpening | None = None
    stage: str = "preparing"
    prepared: bool = True
    verified: bool = True
    finished: tuple[str, ...] = ()
    events: list[FeedEvent] = field(default_factory=list)
    admitted: dict[str, list[str]] = field(default_factory=dict)
    """Experiment -> UIDs it was admitted under."""
    settled: dict[str, list[Settlement]] = field(default_factory=dict)
    views: dict[str, ExperimentView] = field(default_factory=dict)
    refuse: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Experiment -> verdict, reason, message."""
    part: str = "r0"
    spend: Spend = field(default_factory=Spend)
    purse_empty: bool = False
    target_reached: bool = False
    failed: str = ""
    down: bool = False
    full: bool = False
    """Whether it can write nothing more: it settles nothing."""
    answers: tuple[int, dict[str, object]] | None = None
    """Status and body of every answer; none: what was asked for."""
    token: str = ""
    """That it was started with; empty: whatever callers bring."""

    def ask_for(self, name: str, spec: dict) -> None:
        """As if a researcher had submitted it."""
        event = {"cursor": len(self.events) + 1, "kind": "experiment-requested", "experiment": name, "spec": spec}
        self.events.append(FeedEvent.model_validate(event))

    def summary(self) -> Summary:
        return Summary(
            opened=self.opening is not None,
            stage=self.stage,
            prepared=self.prepared,
            verified=self.verified,
            researchers_finished=self.finished,
            spend=self.spend,
            purse_empty=self.purse_empty,
            target_reached=self.target_reached,
            failed=self.failed,
        )

    def admit(self, name: str, asked: AdmissionRequest) -> AdmissionAnswer:
        if name in self.refuse:
            verdict, reason, message = self.refuse[name]
            return AdmissionAnswer(verdict=verdict, reason=reason, message=message)
        self.admitted.setdefault(name, []).append(asked.uid)
        return AdmissionAnswer(
            verdict="admitted",
            seeds=tuple(range(asked.spec.seeds)),
            fetch_token=f"fetch-{name}",
            post_token=f"post-{name}",
            part=self.part,
        )

    def unsettled(self) -> list[ExperimentView]:
        """What was admitted and has not ended."""
        known = {"purpose": "Exploration", "submitted_by": "r0", "task": "chat", "label": "", "state": "admitted"}
        return [ExperimentView(name=name, **known) for name in self.admitted if name not in self.views]

    def settle(self, name: str, settlement: Settlement) -> ExperimentView | Response:
        if self.full:
            return JSONResponse({"reason": "Down", "message": "The disk is full."}, 500)
        self.settled.setdefault(name, []).append(settlement)
        if name in self.views:
            return self.views[name]
        seeds = tuple(
            SeedView(index=one.index, seed=one.index, ok=one.succeeded, reason=one.reason, message=one.message)
            for one in settlement.indexes
        )
        known = {
            "name": name,
            "purpose": "Exploration",
            "submitted_by": "r0",
            "task": "chat",
            "label": "",
            "seeds": seeds,
        }
        if settlement.outcome == "cancelled":
            view = ExperimentView(**known, state="cancelled", reason="Cancelled", message="It was cancelled.")
        elif settlement.outcome == "lost":
            view = ExperimentView(**known, state="failed", reason="JobFailed", message="Its Job was lost.")
        elif all(one.succeeded for one in settlement.indexes):
            score = ScoreView(pgr=0.5, stderr=0.1, split="Feedback", n_seeds=len(seeds), receipt=RECEIPT)
            view = ExperimentView(**known, state="scored", score=score, audit="Clean", cost_usd="0.01")
        else:
            bad = next(one for one in settlement.indexes if not one.succeeded)
            view = ExperimentView(**known, state="failed", reason="SeedFailed", message=f"{bad.reason}: {bad.message}")
        self.views[name] = view
        return view


class Hubs:
    """All of them, by hub namespace; `url` once served."""

    def __init__(self) -> None:
        self.by_namespace: dict[str, OneHub] = {}
        self.unknown_tasks = {"unknown"}
        self.url = ""

    def of(self, namespace: str) -> OneHub:
        return self.by_namespace.setdefault(namespace, OneHub())

    def app(self) -> Starlette:
        def route(path, method, act):
            async def answer(request: Request) -> Response:
                hub = self.of(request.path_params["namespace"])
                if hub.down:
                    return JSONResponse({"reason": "Down", "message": "Not now."}, 503)
                if hub.answers is not None:
                    return JSONResponse(hub.answers[1], hub.answers[0])
                scheme, _, token = request.headers["authorization"].partition(" ")
                assert scheme == "Bearer"
                if hub.token and token != hub.token:
                    return JSONResponse({"reason": "Unauthorized", "message": "The token is not this hub's."}, 401)
                got = act(hub, request, await request.body())
                return got if isinstance(got, Response) else JSONResponse(got.dump())

            return Route(f"/{{namespace}}/v1/operator{path}", answer, methods=[method])

        return Starlette(
            routes=[
                route("/campaign", "PUT", self.open),
                route("/campaign", "GET", self.in_force),
                route("/summary", "GET", lambda hub, request, body: hub.summary()),
                route("/stage", "PUT", self.move),
                route("/feed", "GET", self.feed),
                route("/experiments", "GET", lambda hub, request, body: JSONResponse(
                    [one.dump() for one in hub.unsettled()])),
                route("/tokens/{role}/{subject}", "GET", lambda hub, request, body: TokenAnswer(token="researcher-token")),
                route("/experiments/{name}/admission", "PUT", lambda hub, request, body: hub.admit(
                    request.path_params["name"], AdmissionRequest.model_validate_json(body))),
                route("/experiments/{name}/settlement", "PUT", lambda hub, request, body: hub.settle(
                    request.path_params["name"], Settlement.model_validate_json(body))),
            ]
        )  # fmt: skip

    def open(self, hub: OneHub, request: Request, body: bytes) -> Response:
        opening = CampaignOpening.model_validate_json(body)
        tasks = (opening.spec.task, *opening.spec.evaluation.transfer_tasks)
        name = next((one.name for one in tasks if one.name in self.unknown_tasks), None)
        if name is not None:
            message = f"There is no task {name!r}: `aar tasks` lists them."
            return JSONResponse(ErrorBody(reason="InvalidTask", message=message).dump(), 422)
        hub.opening = opening
        return Response(status_code=204)

    def in_force(self, hub: OneHub, request: Request, body: bytes) -> CampaignOpening | Response:
        if hub.opening is None:
            return JSONResponse(ErrorBody(reason="HubPending", message="None is open yet.").dump(), 409)
        return hub.opening

    def move(self, hub: OneHub, request: Request, body: bytes) -> Summary:
        hub.stage = StageChange.model_validate_json(body).stage
        return hub.summary()

    def feed(self, hub: OneHub, request: Request, body: bytes) -> FeedPage:
        cursor = int(request.query_params["cursor"])
        events = tuple(one for one in hub.events if one.cursor > cursor)
        return FeedPage(events=events, cursor=max([cursor, *(one.cursor for one in events)]))


@contextlib.contextmanager
def serving() -> Iterator[Hubs]:
    hubs = Hubs()
    # With the protocol named, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(hubs.app(), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        hubs.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        yield hubs
        server.should_exit = True
        thread.join(5)
