"""From a request to a visit, and the routes of pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aar_hub import records
from aar_hub.errors import NotFound
from aar_hub.hub import Hub
from aar_hub.pages import door, render
from aar_hub.pages.door import Visitor
from aar_hub.records import Campaign
from aar_hub.routes import _http

MAX_FORM_BYTES = 128 << 10
"""The longest post, every letter of it percent-encoded, and room to spare."""

ROWS = 200
"""Rows of a list on one page: a campaign may have a hundred thousand experiments, and pages renew themselves."""
T = TypeVar("T")


@dataclass(frozen=True)
class Part(Generic[T]):
    """The rows of a long list that fit one page."""

    rows: Sequence[T]
    first: int
    total: int

    @property
    def before(self) -> int:
        """Where the page before this begins."""
        return max(0, self.first - ROWS)

    @property
    def after(self) -> int | None:
        """Where the next page begins, if there is one."""
        return self.first + ROWS if self.first + ROWS < self.total else None


class Visit:
    """A request that has been let in."""

    def __init__(self, hub: Hub, who: Visitor, request: Request, form: dict[str, str]) -> None:
        self.hub, self.who, self.request, self.form = hub, who, request, form

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        """A value of the query; empty if it is not there."""
        return self.request.query_params.get(name, "")

    def part(self, rows: Sequence[T]) -> Part[T]:
        """The rows that `?from=` asks for, counted from 0.

        Raises:
            NotFound: it is no number.
        """
        text = self.query("from") or "0"
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise NotFound("NotFound", f"from is {text!r}, but rows are counted from 0: open the page without it.")
        return Part(rows[int(text) : int(text) + ROWS], int(text), len(rows))

    def answer(self, template: str, campaign: Campaign, status: int = 200, **context: Any) -> Response:
        """The page, with what the frame around it shows."""
        return render.html(template, status, campaign=campaign, here=self.request.url.path, **context)


Show = Callable[[Visit, sa.Connection, Campaign], Response]


def page(path: str, show: Show) -> Route:
    """A page that reads: one transaction, in a thread since it may wait for the database."""

    def handle(request: Request) -> Response:
        hub: Hub = request.app.state.hub
        token = request.query_params.get("token")
        if token is not None:
            return door.enter(hub, request, token)
        visit = Visit(hub, door.visitor(hub, request), request, {})
        with hub.db.read() as tx:
            return show(visit, tx, records.campaign(tx))

    return Route(path, handle, methods=["GET"])


def form(path: str, act: Callable[[Visit], Response]) -> Route:
    """A form that is sent; it must come from a page of this hub."""

    def enter(request: Request, body: bytes) -> Response:
        hub: Hub = request.app.state.hub
        who = door.visitor(hub, request)
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        door.check_form(hub, request, who, fields.get("form_key", ""))
        return act(Visit(hub, who, request, fields))

    async def handle(request: Request) -> Response:
        body = await _http.read_body(request, MAX_FORM_BYTES)
        return await run_in_threadpool(enter, request, body)

    return Route(path, handle, methods=["POST"])
