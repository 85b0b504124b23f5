"""A small hub for researchers: the routes of aar_api.wire over real HTTP, with a formula in place of training."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import uvicorn
from aar_api import digest
from aar_api.wire import (
    Brief,
    ExperimentView,
    Finding,
    FindingPost,
    Hyper,
    LeaderboardRow,
    MethodCard,
    Purse,
    ScoreView,
    SeedView,
    Snapshot,
    SnapshotRef,
    SnapshotUpload,
    Submission,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CARDS = [
    MethodCard(
        name="good",
        summary="",
        citation="",
        space={
            "x": Hyper(kind="float", low=0.0, high=1.0, default=0.1),
            "n": Hyper(kind="int", low=1, high=4, default=2),
        },
        source="def train(lab):\n    return 'good'\n",
    ),
    MethodCard(
        name="poor",
        summary="",
        citation="",
        space={"x": Hyper(kind="float", low=0.01, high=1.0, log=True, default=0.1)},
        source="def train(lab):\n    return 'poor'\n",
    ),
    MethodCard(
        name="broken",
        summary="",
        citation="",
        space={"c": Hyper(kind="choice", choices=(True, False), default=True)},
        source="def train(lab):\n    raise RuntimeError\n",
    ),
    MethodCard(name="blind", summary="", citation="", uses_weak_labels=False, source="def train(lab):\n    return 0\n"),
]


def truth(label: str, config: dict) -> float | None:
    """PGR by formula; none for a method that fails."""
    if label == "broken":
        return None
    return 0.75 - (config["x"] - 0.7) ** 2 if label == "good" else 0.2 + 0.1 * float(config.get("share", 0))


@dataclass
class SmallHub:
    limit: int = 12
    parallelism: int = 1
    colleagues: int = 1
    max_seeds: int = 1
    kind: str = "search"
    polls_to_end: int = 1
    stage: str = "researching"
    refuse: tuple[int, str] | None = None
    """Status and reason of every submission's answer."""
    refuse_after: int = 0
    down: int = 0
    """Requests still to be answered with 503."""
    snapshots: set = field(default_factory=set)
    views: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    submissions: list = field(default_factory=list)
    posts: dict = field(default_factory=dict)
    foreign: list = field(default_factory=list)
    finished: list = field(default_factory=list)
    polls: dict = field(default_factory=dict)
    provider: str = ""
    """Where calls of the Messages API are passed on to."""
    model: str | None = "claude-opus-5-5"
    max_turns: int | None = None
    seconds_left: float | None = None
    llm_left: str | None = None
    files: dict = field(default_factory=dict)
    strangers: list = field(default_factory=list)
    """Findings of colleagues."""
    findings_page: int = 500
    transcript: dict = field(default_factory=dict)
    no_transcripts: bool = False
    provider_key: str = "key"
    too_dear: Callable[[int], bool] = lambda size: False
    """Whether the money that is left does not pay for a call of so many bytes."""
    calls: int = 0

    def brief(self, _: bytes):
        left = self.limit - len(self.views)
        purse = Purse(
            limit_usd="5.00",
            left_usd="4.00",
            submissions_left=left,
            experiments_left=left,
            seconds_left=self.seconds_left,
            llm_left_usd=self.llm_left,
        )
        return Brief(
            campaign="c", researcher="r0", task="t", kind=self.kind, colleagues=self.colleagues, stage=self.stage,
            max_seeds=self.max_seeds, parallelism=self.parallelism, search_seed=7, purse=purse, model=self.model,
            max_turns=self.max_turns,
        )  # fmt: skip

    def submit(self, body: bytes):
        asked = Submission.model_validate_json(body)
        self.submissions.append(asked)
        assert asked.snapshot in self.snapshots | {row.snapshot for row in self.foreign}
        if asked.key in self.keys:
            return self.views[self.keys[asked.key]]
        if self.refuse and len(self.views) >= self.refuse_after:
            return JSONResponse({"reason": self.refuse[1], "message": "No. Raise it."}, self.refuse[0])
        name = f"e{len(self.views)}"
        self.keys[asked.key] = name
        self.views[name] = ExperimentView(
            name=name, purpose="Smoke" if asked.smoke else "Exploration", submitted_by="r0", task="t", label=asked.label, snapshot=asked.snapshot,
            config=asked.config, state="admitted", seeds=tuple(SeedView(index=i, seed=i) for i in range(asked.seeds)),
        )  # fmt: skip
        return self.views[name]

    def experiment(self, name: str):
        view = self.views[name]
        self.polls[name] = self.polls.get(name, 0) + 1
        if view.state == "admitted" and self.polls[name] > self.polls_to_end:
            pgr = truth(view.label, view.config)
            score = None
            if pgr is not None:
                score = ScoreView(pgr=pgr, stderr=0.05, split="Feedback", n_seeds=len(view.seeds), receipt="r")
            view = view.model_copy(update={"state": "failed" if score is None else "scored", "score": score})
            self.views[name] = view
        return view

    def leaderboard(self, _: bytes):
        mine = [
            LeaderboardRow(rank=1, experiment=v.name, researcher="r0", label=v.label, snapshot=v.snapshot, config=v.config,
                           pgr=v.score.pgr, stderr=0.05, n_seeds=v.score.n_seeds)
            for v in self.views.values() if v.score
        ]  # fmt: skip
        return sorted([*mine, *self.foreign], key=lambda row: -row.pgr)

    def cancel(self, name: str):
        self.views[name] = self.views[name].model_copy(update={"state": "cancelled"})
        return self.views[name]

    def snapshot(self, name: str):
        if name not in self.files:
            return JSONResponse({"reason": "NotFound", "message": f"No snapshot is {name!r}: name one that is."}, 404)
        return Snapshot(digest=name, files=self.files[name].files, parents=self.files[name].parents, author="r0")

    def keep(self, body: bytes):
        if self.no_transcripts:
            return JSONResponse({"reason": "NotFound", "message": "No such route."}, 404)
        asked = json.loads(body)
        for number, line in enumerate(asked["lines"], asked["first"]):
            if self.transcript.setdefault(number, line) != line:
                return JSONResponse({"reason": "TranscriptFixed", "message": f"Line {number} never changes."}, 409)
        return Response(status_code=204)

    def upload(self, body: bytes):
        asked = SnapshotUpload.model_validate_json(body)
        name = digest.of_files(asked.files)
        self.files[name] = asked
        new = name not in self.snapshots
        self.snapshots.add(name)
        return SnapshotRef(digest=name, new=new)

    def findings(self, asked):
        posts = [post for post in (*self.strangers, *self.posts.values()) if post.id > int(asked["since"])]
        return sorted(posts, key=lambda post: post.id)[: self.findings_page]

    def post(self, body: bytes):
        asked = FindingPost.model_validate_json(body)
        if asked.key not in self.posts:
            self.posts[asked.key] = Finding(
                id=len(self.posts) + 1, author="r0", kind=asked.kind, title=asked.title, text=asked.text, created=""
            )
        return self.posts[asked.key]

    def app(self) -> Starlette:
        def route(path, method, act):
            async def answer(request: Request) -> Response:
                assert request.headers["authorization"] == "Bearer secret"
                self.calls += 1
                if self.down > 0:
                    self.down -= 1
                    return JSONResponse({"reason": "Starting", "message": "Not yet."}, 503)
                got = act(request.path_params.get("name") or request.query_params or await request.body())
                if isinstance(got, Response):
                    return got
                return JSONResponse([one.dump() for one in got] if isinstance(got, list) else got.dump())

            return Route(path, answer, methods=[method])

        async def messages(request: Request) -> Response:
            """Pass the call on, and the answer back as it comes."""
            assert request.headers["authorization"] == "Bearer secret"
            if self.too_dear(len(await request.body())):
                return JSONResponse({"type": "error", "error": {"type": "billing_error", "message": "Too dear."}}, 402)
            sent = {
                k: v for k, v in request.headers.items() if k.startswith(("anthropic", "content-type", "x-stainless"))
            }
            client = httpx.AsyncClient(timeout=60)
            call = client.build_request(
                "POST",
                self.provider + request.url.path,
                content=await request.body(),
                headers={**sent, "x-api-key": self.provider_key},
            )
            got = await client.send(call, stream=True)

            async def body():
                try:
                    async for part in got.aiter_raw():
                        yield part
                finally:
                    await got.aclose()
                    await client.aclose()

            kept = {k: v for k, v in got.headers.items() if k in ("content-type", "request-id", "retry-after-ms")}
            return StreamingResponse(body(), got.status_code, kept)

        async def finish(request: Request) -> Response:
            self.finished.append((await request.json())["reason"])
            return Response(status_code=204)

        return Starlette(
            routes=[
                route("/v1/brief", "GET", self.brief),
                route("/v1/methods", "GET", lambda _: CARDS),
                route("/v1/snapshots", "POST", self.upload),
                route("/v1/experiments", "POST", self.submit),
                route("/v1/experiments/{name}", "GET", self.experiment),
                route("/v1/experiments", "GET", lambda _: list(self.views.values())),
                route("/v1/experiments/{name}/cancel", "POST", self.cancel),
                route("/v1/snapshots/{name}", "GET", self.snapshot),
                route("/v1/transcript", "POST", self.keep),
                Route("/v1/messages", messages, methods=["POST"]),
                route("/v1/leaderboard", "GET", self.leaderboard),
                route("/v1/findings", "POST", self.post),
                route("/v1/findings", "GET", self.findings),
                Route("/v1/finish", finish, methods=["POST"]),
            ]
        )


@contextlib.contextmanager
def serving(hub: SmallHub) -> Iterator[str]:
    # With the protocol named, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(hub.app(), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)
