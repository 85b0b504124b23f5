"""The lab's line to the hub: patient with an absent hub, final when the hub says no.

By the standard library: two short steps of every experiment begin here, and an HTTP client package takes as long to import as
they take to do their work.
"""

from __future__ import annotations

import http.client
import json as json_text
import time
import urllib.error
import urllib.request
from typing import Any

from pydantic import ValidationError

from aar_lab.errors import HubRefused, HubUnreachable, LabSettingInvalid
from aar_lab.settings import Settings

PATIENCE_SECONDS = 240.0
"""How long a hub may be away: a pod that is moved to another node is back in two to three minutes."""

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0
_RETRIED = (408, 425, 429)
_SOCKET_SECONDS = 60.0
"""How long a connection may be silent: the hub packs a bundle before it sends the first byte."""


class Hub:
    """Requests with one token, repeated while the hub is away."""

    def __init__(self, settings: Settings, patience: float = PATIENCE_SECONDS) -> None:
        if not settings.hub_url or not settings.token:
            raise LabSettingInvalid("AAR_HUB_URL and AAR_TOKEN must both be set: this step speaks to the hub.")
        self._url = settings.hub_url
        self._index = settings.index
        self._patience = patience
        self._headers = {"Authorization": f"Bearer {settings.token}"}
        # No proxy of the environment and no redirect: the token goes to the hub and to nobody else.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def get(self, route: str) -> bytes:
        """Body of a GET."""
        return self._ask("GET", route)

    def post(self, route: str, *, content: bytes | None = None, json: Any = None) -> None:
        """A POST; the hub takes the same body twice without harm."""
        if content is not None:
            self._ask("POST", route, content)
        else:
            self._ask("POST", route, json_text.dumps(json).encode(), "application/json")

    def _ask(self, verb: str, route: str, body: bytes | None = None, kind: str = "application/octet-stream") -> bytes:
        give_up, wait = time.monotonic() + self._patience, FIRST_WAIT_SECONDS
        headers = self._headers | ({} if body is None else {"Content-Type": kind})
        while True:
            # A request object is spent by one use.
            request = urllib.request.Request(  # noqa: S310  the operator's own address of the hub
                f"{self._url}{route}?index={self._index}", data=body, headers=headers, method=verb
            )
            try:
                with self._opener.open(request, timeout=_SOCKET_SECONDS) as answer:
                    found: bytes = answer.read()
                    return found
            except urllib.error.HTTPError as error:
                with error:
                    said = _sentence(error)
                if error.code < 500 and error.code not in _RETRIED:
                    raise HubRefused(f"The hub refused {verb} {route} with {error.code}: {said}") from None
                trouble = f"{error.code}: {said}"
            except (OSError, http.client.HTTPException) as error:
                trouble = f"{type(error).__name__}: {error}"
            if time.monotonic() + wait > give_up:
                raise HubUnreachable(
                    f"The hub at {self._url} did not answer {verb} {route} within {self._patience:g} s (last: {trouble}). "
                    "See whether it runs; the Job may be tried again."
                )
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the redirect is told as the error that it is here."""


def _sentence(answer: urllib.error.HTTPError) -> str:
    from aar_api.wire import ErrorBody  # only in trouble: half the import time of a step

    try:
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return answer.reason
    try:
        return ErrorBody.model_validate_json(body).message
    except ValidationError:
        return body.decode("utf-8", "replace")[:300] or answer.reason
