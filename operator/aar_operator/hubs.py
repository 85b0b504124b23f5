"""Speaks HTTP to the hubs: one method a route of the operator's port.

HubError
├── HubDown      no answer: try again later
└── HubRefused   a sentence why not
"""

from __future__ import annotations

from typing import Any

import httpx
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
    """The operator's view of one hub."""

    def __init__(self, url: str, token: str) -> None:
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _call(
        self, method: str, path: str, body: Any = None, params: dict[str, int] | None = None
    ) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, json=body, params=params)
        except httpx.TransportError as error:
            raise HubDown(f"The hub at {self._client.base_url} does not answer ({error!r}).") from error
        if answer.status_code >= 500:
            raise HubDown(f"The hub at {self._client.base_url} answered {answer.status_code}: its log says why.")
        if answer.is_error:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: httpx.Response) -> HubError:
        """What the hub said; an answer in another shape is a proxy's or a stranger's, so the hub itself is not there yet."""
        try:
            return HubRefused(answer.status_code, ErrorBody.model_validate_json(answer.content))
        except ValueError:
            return HubDown(f"Not the hub but something else at {self._client.base_url} answered {answer.status_code}.")

    async def open(self, opening: CampaignOpening) -> None:
        """Hand the campaign over. Raises HubRefused with a condition reason if it cannot be run."""
        await self._call("PUT", "/v1/operator/campaign", opening.dump())

    async def summary(self) -> Summary:
        """The state of the science."""
        return Summary.model_validate_json((await self._call("GET", "/v1/operator/summary")).content)

    async def stage(self, stage: Stage, reason: str) -> None:
        """Move the campaign on."""
        await self._call("PUT", "/v1/operator/stage", StageChange(stage=stage, reason=reason).dump())

    async def feed(self, cursor: int) -> FeedPage:
        """What has to be carried out after a cursor."""
        answer = await self._call("GET", "/v1/operator/feed", params={"cursor": cursor})
        return FeedPage.model_validate_json(answer.content)

    async def admit(self, name: str, request: AdmissionRequest) -> AdmissionAnswer:
        """Have an experiment checked, reserved for and given seeds."""
        answer = await self._call("PUT", f"/v1/operator/experiments/{name}/admission", request.dump())
        return AdmissionAnswer.model_validate_json(answer.content)

    async def settle(self, name: str, settlement: Settlement) -> ExperimentView:
        """Have an ended experiment scored and paid for."""
        answer = await self._call("PUT", f"/v1/operator/experiments/{name}/settlement", settlement.dump())
        return ExperimentView.model_validate_json(answer.content)

    async def experiments(self) -> list[ExperimentView]:
        """Every experiment the hub knows."""
        answer = await self._call("GET", "/v1/operator/experiments")
        return [ExperimentView.model_validate(one) for one in answer.json()]

    async def token(self, role: Role, subject: str) -> str:
        """A signed token; the same every time."""
        answer = await self._call("GET", f"/v1/operator/tokens/{role}/{subject}")
        return TokenAnswer.model_validate_json(answer.content).token

    async def report(self) -> Report:
        """Everything a person reads at the end."""
        return Report.model_validate_json((await self._call("GET", "/v1/operator/report")).content)
