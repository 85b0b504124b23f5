"""The forum, and the one form that writes: a post of the campaign's owner."""

from __future__ import annotations

import secrets
from typing import get_args

import sqlalchemy as sa
from aar_api.wire import FindingPost
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from aar_hub import forum, records
from aar_hub.errors import NotFound, Refused
from aar_hub.pages import door
from aar_hub.pages._page import Visit
from aar_hub.records import Campaign
from aar_hub.requests import OWNER
from aar_hub.routes import _http

PAGE = 50
"""Posts on one page."""
KINDS: tuple[str, ...] = get_args(FindingPost.model_fields["kind"].annotation)
FIELDS = ("kind", "title", "text", "experiments")


def show(visit: Visit, tx: sa.Connection, campaign: Campaign) -> Response:
    """Posts, newest first."""
    return _page(visit, tx, campaign)


def _page(visit: Visit, tx: sa.Connection, campaign: Campaign, mistake: str = "") -> Response:
    before = visit.query("before")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise NotFound("NotFound", f"before is {before!r}, but posts are numbered from 1: open the forum without it.")
    posts = forum.before(tx, int(before) if before else None, PAGE + 1)
    return visit.answer(
        "forum.html",
        campaign,
        status=422 if mistake else 200,
        posts=posts[:PAGE],
        older=posts[PAGE - 1].id if len(posts) > PAGE else None,
        before=before,
        kinds=KINDS,
        typed={name: visit.form.get(name, "") for name in FIELDS},
        mistake=mistake,
        form_key=door.form_key(visit.hub, visit.who),
        post_key=visit.form.get("key") or secrets.token_hex(16),  # a form sent twice is one post
    )


def post(visit: Visit) -> Response:
    """Post as the owner, and go to the post; a form with a mistake comes back as it was."""
    typed = visit.form
    try:
        asked = FindingPost.model_validate(
            {
                "kind": typed.get("kind"),
                "title": typed.get("title", "").strip(),
                "text": typed.get("text", "").replace("\r\n", "\n"),
                "experiments": typed.get("experiments", "").replace(",", " ").split(),
                "key": typed.get("key") or None,
            }
        )
        made = forum.post(visit.hub, OWNER, asked, owner=True)
    except (ValidationError, Refused) as error:
        mistake = _http.first_mistake(error) if isinstance(error, ValidationError) else str(error)
        with visit.hub.db.read() as tx:
            return _page(visit, tx, records.campaign(tx), mistake)
    return RedirectResponse(f"/forum#post-{made.id}", 303)
