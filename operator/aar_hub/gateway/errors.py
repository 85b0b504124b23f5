"""What the gateway answers by itself, in the shape that Messages clients read.

GatewayError
├── BadCall        400  a parameter is wrong, or costs outside the meter
├── NoToken        401  no token, a forged one, or one that has ended
├── PurseUsed      402  the settled spend leaves no room for the call: clients must not try again
├── NotAllowed     403  the role, the model or the path is not for this caller
├── NoSuchPath     404
├── TooBig         413
├── Busy           429  only what runs at this moment stands in the way: try again
├── UpstreamFault  502  the provider failed or cannot be reached
│   └── Unheard    502  it took the call, and no answer came
└── NoKey          503  the hub has no provider key
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aar_api.errors import AarError

NO_RETRY = MappingProxyType({"x-should-retry": "false"})


class GatewayError(AarError):
    """A call that is not passed on, or whose answer is not."""

    status = 500
    kind = "api_error"
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details

    def body(self) -> bytes:
        """The answer's body."""
        error: dict[str, Any] = {"type": self.kind, "message": str(self)}
        if self.details:
            error["details"] = self.details
        return json.dumps({"type": "error", "error": error}).encode()


class BadCall(GatewayError):
    """A parameter is wrong, or costs outside the meter."""

    status, kind = 400, "invalid_request_error"


class NoToken(GatewayError):
    """No token, a forged one, or one that has ended."""

    status, kind = 401, "authentication_error"


class PurseUsed(GatewayError):
    """The settled spend leaves no room for the call."""

    status, kind = 402, "billing_error"
    headers = NO_RETRY


class NotAllowed(GatewayError):
    """The role, the model or the path is not for this caller."""

    status, kind = 403, "permission_error"


class NoSuchPath(GatewayError):
    """The gateway does not pass this path on."""

    status, kind = 404, "not_found_error"


class TooBig(GatewayError):
    """The body exceeds the limit."""

    status, kind = 413, "request_too_large"


class Busy(GatewayError):
    """Only what runs at this moment stands in the way."""

    status, kind = 429, "rate_limit_error"

    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(message)
        self.headers = {"retry-after": str(retry_seconds)}


class UpstreamFault(GatewayError):
    """The provider failed or cannot be reached."""

    status = 502


class Unheard(UpstreamFault):
    """The provider took the call, and no answer came: whether it worked on it is not known."""


class NoKey(GatewayError):
    """The hub has no provider key."""

    status = 503
    headers = NO_RETRY
