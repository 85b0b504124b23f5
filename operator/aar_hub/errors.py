"""The errors of the hub, each with the HTTP status it is answered with.

HubError (400)
├── Unauthorized (401)   no token, a forged one, or one that has ended
├── Forbidden (403)      the role may not use the route
├── NotFound (404)
├── Conflict (409)       right in itself, but not in the present state
├── TooLarge (413)
└── Refused (422)        well-formed, but against a rule of the campaign
"""

from __future__ import annotations

from aar_api.errors import AarError


class HubError(AarError):
    """A request that cannot be served; `reason` is one word, the text one sentence."""

    status = 400

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = str(reason)


class Unauthorized(HubError):
    """No token, a forged one, or one that has ended."""

    status = 401


class Forbidden(HubError):
    """The role may not use the route."""

    status = 403


class NotFound(HubError):
    """Nothing has that name."""

    status = 404


class Conflict(HubError):
    """Right in itself, but not in the present state."""

    status = 409


class TooLarge(HubError):
    """The body exceeds the limit."""

    status = 413


class Refused(HubError):
    """Well-formed, but against a rule of the campaign."""

    status = 422


class StartError(AarError):
    """The hub cannot start; the text says why and what to do."""
