"""The lab's line to the hub: patient with an absent hub, final when the hub says no."""

from __future__ import annotations

import time
from typing import Any

import httpx
from aar_api.wire import ErrorBody
from pydantic import ValidationError

from aar_lab.errors import HubRefused, HubUnreachable, LabSettingInvalid
from aar_lab.settings import Settings

PATIENCE_SECONDS = 240.0
"""How long a hub may be away: a pod that is moved to another node is back in two to three minutes."""

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0
_RETRIED = (408, 425, 429)
_TRANSFER_TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class Hub:
    """Requests with one token, repeated while the hub is away."""

    def __init__(self, settings: Settings, patience: float = PATIENCE_SECONDS) -> None:
        if not settings.hub_url or not settings.token:
            raise LabSettingInvalid("AAR_HUB_URL and AAR_TOKEN must both be set: this step speaks to the hub.")
        self._url = settings.hub_url
        self._index = settings.index
        self._patience = patience
        headers = {"Authorization": f"Bearer {settings.token}"}
        self._client = httpx.Client(headers=headers, timeout=_TRANSFER_TIMEOUT, trust_env=False)

    def get(self, route: str) -> bytes:
        """Body of a GET."""
        return self._ask("GET", route)

    def post(self, route: str, *, content: bytes | None = None, json: Any = None) -> None:
        """A POST; the hub takes the same body twice without harm."""
        self._ask("POST", route, content=content, json=json)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, verb: str, route: str, **body: Any) -> bytes:
        give_up, wait = time.monotonic() + self._patience, FIRST_WAIT_SECONDS
        while True:
            trouble = ""
            try:
                answer = self._client.request(verb, self._url + route, params={"index": self._index}, **body)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return answer.content
                if answer.status_code < 500 and answer.status_code not in _RETRIED:
                    raise HubRefused(f"The hub refused {verb} {route} with {answer.status_code}: {_sentence(answer)}")
                trouble = f"{answer.status_code}: {_sentence(answer)}"
            if time.monotonic() + wait > give_up:
                raise HubUnreachable(
                    f"The hub at {self._url} did not answer {verb} {route} within {self._patience:g} s (last: {trouble}). "
                    "See whether it runs; the Job may be tried again."
                )
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _sentence(answer: httpx.Response) -> str:
    try:
        return ErrorBody.model_validate_json(answer.content).message
    except ValidationError:
        return answer.text[:300] or answer.reason_phrase
