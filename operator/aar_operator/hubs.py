"""Speaks HTTP to the hubs: one method a route of the operator's port.

HubError
├── HubDown      no answer: try again later
└── HubRefused   a sentence why not
"""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from aar_api.errors import AarError
from aar_api.wire import (
    AdmissionAnswer,
    AdmissionRequest,
    CampaignOpening,
    ErrorBody,
    ExperimentView,
    FeedPage,
    Report,
    Role,
    Settlement,
    Stage,
    StageChange,
    Summary,
    TokenAnswer,
)

TIMEOUT_SECONDS = 120.0
"""Building a task or scoring many predictions takes seconds; a hub that is silent for longer is stuck."""

UNSETTLED = ("submitted", "waiting", "admitted")
"""States of an experiment that has not ended."""
CONNECT_SECONDS = 5.0
"""An address behind which there is no pod drops packets: waiting longer for it would hold up the work on others."""


class HubError(AarError):
    """A call to a hub failed."""


class HubDown(HubError):
    """The hub does not answer: it starts, restarts or is gone."""


class HubRefused(HubError):
    """The hub answered with an error."""

    def __init__(self, status: int, body: ErrorBody) -> None:
        super().__init__(body.message)
        self.status, self.reason = status, body.reason


class Hub:
    """The operator's view of one hub. Made where an event loop runs."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        # aiohttp, since an experiment costs two calls, and they would be a quarter of its cost with a client that does more.
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, sock_connect=CONNECT_SECONDS),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _call(self, method: str, path: str, body: Any = None, params: dict[str, int] | None = None) -> bytes:
        try:
            async with self._session.request(method, f"{self._url}{path}", json=body, params=params) as answer:
                status, content = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise HubDown(f"The hub at {self._url} does not answer ({error!r}).") from error
        if status >= 500:
            raise HubDown(f"The hub at {self._url} answered {status}: its log says why.")
        if status >= 400:
            raise self._refusal(status, content)
        return content

    def _refusal(self, status: int, content: bytes) -> HubError:
        """What the hub said; an answer in another shape is a proxy's or a stranger's, so the hub itself is not there yet."""
        try:
            return HubRefused(status, ErrorBody.model_validate_json(content))
        except ValueError:
            return HubDown(f"Not the hub but something else at {self._url} answered {status}.")

    async def open(self, opening: CampaignOpening) -> None:
        """Hand the campaign over. Raises HubRefused with a condition reason if it cannot be run."""
        await self._call("PUT", "/v1/operator/campaign", opening.dump())

    async def summary(self) -> Summary:
        """The state of the science."""
        return Summary.model_validate_json(await self._call("GET", "/v1/operator/summary"))

    async def stage(self, stage: Stage, reason: str) -> Summary:
        """Move the campaign on; its state then."""
        answer = await self._call("PUT", "/v1/operator/stage", StageChange(stage=stage, reason=reason).dump())
        return Summary.model_validate_json(answer)

    async def feed(self, cursor: int) -> FeedPage:
        """What has to be carried out after a cursor."""
        answer = await self._call("GET", "/v1/operator/feed", params={"cursor": cursor})
        return FeedPage.model_validate_json(answer)

    async def admit(self, name: str, request: AdmissionRequest) -> AdmissionAnswer:
        """Have an experiment checked, reserved for and given seeds."""
        answer = await self._call("PUT", f"/v1/operator/experiments/{name}/admission", request.dump())
        return AdmissionAnswer.model_validate_json(answer)

    async def settle(self, name: str, settlement: Settlement) -> ExperimentView:
        """Have an ended experiment scored and paid for."""
        answer = await self._call("PUT", f"/v1/operator/experiments/{name}/settlement", settlement.dump())
        return ExperimentView.model_validate_json(answer)

    async def experiments(self) -> list[ExperimentView]:
        """Every experiment the hub knows."""
        answer = await self._call("GET", "/v1/operator/experiments")
        return [ExperimentView.model_validate(one) for one in json.loads(answer)]

    async def unsettled(self) -> list[ExperimentView]:
        """Those that the hub waits for."""
        answer = await self._call("GET", "/v1/operator/experiments", params={"unsettled": 1})
        every = [ExperimentView.model_validate(one) for one in json.loads(answer)]
        return [one for one in every if one.state in UNSETTLED]

    async def token(self, role: Role, subject: str) -> str:
        """A signed token; the same every time."""
        answer = await self._call("GET", f"/v1/operator/tokens/{role}/{subject}")
        return TokenAnswer.model_validate_json(answer).token

    async def report(self) -> Report:
        """Everything a person reads at the end."""
        return Report.model_validate_json(await self._call("GET", "/v1/operator/report"))
