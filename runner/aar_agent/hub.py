"""The researcher's line to the hub: patient with an absent hub, final when the hub says no."""

from __future__ import annotations

import threading
import time
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from aar_api.wire import (
    Brief,
    ErrorBody,
    ExperimentView,
    Finding,
    FindingPost,
    Finish,
    LeaderboardRow,
    MethodCard,
    Snapshot,
    SnapshotRef,
    SnapshotUpload,
    Submission,
)
from pydantic import TypeAdapter, ValidationError

from aar_agent.errors import HubAway, HubRefused, Stopped

PATIENCE_SECONDS = 600.0
"""How long a hub may be away: a pod that moves to another node with its volume is back in a few minutes."""

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0
_RETRIED = (408, 425, 429)
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)

T = TypeVar("T")


class Hub:
    """Requests with one token, repeated while the hub is away. Every POST of the hub may be repeated without harm."""

    def __init__(self, url: str, token: str, stop: threading.Event, patience: float = PATIENCE_SECONDS) -> None:
        self.url, self.token = url, token
        self._stop, self._patience = stop, patience
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT, trust_env=False)

    def brief(self) -> Brief:
        """What this researcher is told, with what is left of the purse."""
        return self._ask(Brief, "GET", "/v1/brief")

    def methods(self) -> list[MethodCard]:
        """The shipped methods with their source."""
        return self._ask(list[MethodCard], "GET", "/v1/methods")

    def upload(self, snapshot: SnapshotUpload) -> SnapshotRef:
        """Keep a method's code."""
        return self._ask(SnapshotRef, "POST", "/v1/snapshots", json=snapshot.dump())

    def snapshot(self, digest: str) -> Snapshot:
        """A snapshot with its files, a colleague's too."""
        return self._ask(Snapshot, "GET", f"/v1/snapshots/{quote(digest)}")

    def submit(self, submission: Submission) -> ExperimentView:
        """Ask for an experiment; the same key always gives the same one."""
        return self._ask(ExperimentView, "POST", "/v1/experiments", json=submission.dump())

    def experiment(self, name: str) -> ExperimentView:
        """One of this researcher's experiments."""
        return self._ask(ExperimentView, "GET", f"/v1/experiments/{quote(name, safe='')}")

    def experiments(self) -> list[ExperimentView]:
        """All of this researcher's experiments, oldest first."""
        return self._ask(list[ExperimentView], "GET", "/v1/experiments")

    def cancel(self, name: str) -> ExperimentView:
        """End one of this researcher's experiments."""
        return self._ask(ExperimentView, "POST", f"/v1/experiments/{quote(name, safe='')}/cancel")

    def leaderboard(self) -> list[LeaderboardRow]:
        """What the team has scored, best first."""
        return self._ask(list[LeaderboardRow], "GET", "/v1/leaderboard")

    def findings(self, since: int) -> list[Finding]:
        """Posts with a higher id."""
        return self._ask(list[Finding], "GET", "/v1/findings", params={"since": since})

    def post_finding(self, post: FindingPost) -> Finding:
        """Tell the team."""
        return self._ask(Finding, "POST", "/v1/findings", json=post.dump())

    def keep_transcript(self, first: int, lines: list[str]) -> None:
        """Keep a copy of the transcript's lines; those the hub has by their number already are kept as they are."""
        self._send("POST", "/v1/transcript", json={"first": first, "lines": lines})

    def finish(self, reason: str) -> None:
        """Say that this researcher is done."""
        self._send("POST", "/v1/finish", json=Finish(reason=reason[:512]).dump())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, shape: type[T], verb: str, route: str, **rest: Any) -> T:
        answer = self._send(verb, route, **rest)
        try:
            return TypeAdapter(shape).validate_json(answer.content)
        except ValidationError as error:
            raise HubRefused(
                answer.status_code,
                "Unreadable",
                f"The hub's answer to {verb} {route} is not what was agreed on: {error}",
            ) from None

    def _send(self, verb: str, route: str, **rest: Any) -> httpx.Response:
        give_up, wait = time.monotonic() + self._patience, FIRST_WAIT_SECONDS
        while True:
            try:
                answer = self._client.request(verb, self.url + route, **rest)
            except httpx.InvalidURL as error:
                raise HubRefused(
                    414, "InvalidURL", f"{route[:100]!r} is no route ({error}): name something shorter."
                ) from None
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return answer
                body = _body(answer)
                if answer.status_code < 500 and answer.status_code not in _RETRIED:
                    raise HubRefused(answer.status_code, body.reason, body.message)
                trouble = f"{answer.status_code}: {body.message}"
            if time.monotonic() + wait > give_up:
                raise HubAway(
                    f"The hub at {self.url} did not answer {verb} {route} within {self._patience:g} s (last: {trouble}). "
                    "See whether it runs; the researcher goes on where it was when it is started again."
                )
            if self._stop.wait(wait):
                raise Stopped("Asked to stop while the hub was away.")
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _body(answer: httpx.Response) -> ErrorBody:
    try:
        return ErrorBody.model_validate_json(answer.content)
    except ValidationError:
        return ErrorBody(reason="Unknown", message=answer.text[:300] or answer.reason_phrase)
