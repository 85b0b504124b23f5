"""Who may see the pages. On one machine, where the hub listens on loopback alone: whoever sits there. Elsewhere: who shows a viewer's or the
operator's token once, as `?token=`; it is traded for a cookie that opens the pages and nothing else.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from aar_hub import auth
from aar_hub.errors import Forbidden, Unauthorized
from aar_hub.hub import Hub
from aar_hub.keys import Keys

READERS = ("operator", "viewer")
SESSION = timedelta(days=7)
"""How long a cookie opens the pages; longer than most campaigns, and the token can be shown again."""
HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d+)?")
"""A Host header: a name or address, IPv6 in brackets, and perhaps a port."""


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page."""

    subject: str
    """Subject of the token shown, or `local`."""


def visitor(hub: Hub, request: Request) -> Visitor:
    """Who looks.

    Raises:
        Unauthorized: the hub can be reached from elsewhere, and the request has no cookie of this hub.
    """
    if _loopback(hub.settings.host) and _loopback(_host(request)):
        return Visitor("local")
    cookie = request.cookies.get(_cookie(hub.keys), "")
    try:
        claims = jwt.decode(
            cookie, hub.keys.derive("pages"), algorithms=[auth.ALGORITHM], options={"require": ["sub", "exp"]}
        )
    except jwt.InvalidTokenError as error:
        raise Unauthorized(
            "Unauthorized",
            "These pages can be reached from other machines, so they want a token: open them once with ?token=<viewer token> "
            "at the end of the address.",
        ) from error
    return Visitor(str(claims["sub"]))


def enter(hub: Hub, request: Request, token: str) -> Response:
    """Trade a token for a cookie and send the browser on to the same page, so that the token stays in no history.

    The cookie isn't the token: browsers send cookies to every port of a host, and other programs may listen there.

    Raises:
        Unauthorized: the token is not one of this hub.
        Forbidden: its role may not see the pages.
    """
    caller = auth.authenticate(hub, f"Bearer {token}")
    if caller.role not in READERS:
        raise Forbidden(
            "Forbidden", f"The role {caller.role!r} may not see the pages: they are for {' and '.join(READERS)}."
        )
    claims = {"sub": caller.subject, "exp": datetime.now(UTC) + SESSION}
    rest = str(request.url.remove_query_params("token").query)
    answer = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
    answer.set_cookie(
        _cookie(hub.keys),
        jwt.encode(claims, hub.keys.derive("pages"), algorithm=auth.ALGORITHM),
        max_age=int(SESSION.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def form_key(hub: Hub, who: Visitor) -> str:
    """What a form of ours carries and a form of another site can't know."""
    return hmac.digest(hub.keys.derive("forms"), who.subject.encode(), "sha256").hex()


def check_form(hub: Hub, request: Request, who: Visitor, key: str) -> None:
    """Let a form pass only if it came from a page of this hub.

    Raises:
        Forbidden: it came from somewhere else.
    """
    origin = request.headers.get("origin")
    own = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin" or not own:
        raise Forbidden("Forbidden", "The form was sent from another site: open the forum here and send it from there.")
    if not hmac.compare_digest(key.encode(), form_key(hub, who).encode()):
        raise Forbidden("Forbidden", "The form is not one of this hub, or of another visit: open the forum again.")


def _cookie(keys: Keys) -> str:
    """A name of this hub's own: two hubs behind two ports of one host share their cookies."""
    return "aar-" + keys.derive("cookie").hex()[:8]


def _host(request: Request) -> str:
    """The name the browser thinks it speaks to. A foreign one on loopback is a DNS rebinding, and gets no further."""
    found = HOST.fullmatch(request.headers.get("host", ""))
    return found[1].strip("[]") if found else ""


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
