"""Speaks HTTP to the hubs: one method a route of the operator's port.

HubError
├── HubDown      no answer: try again later
├── HubUnclear   an answer that is none of this version's: try again later
└── HubRefused   a sentence why not
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
from aar_api.conditions import Reason
from aar_api.errors import AarError, explain
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
from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
EXPERIMENTS = TypeAdapter(list[ExperimentView])

TIMEOUT_SECONDS = 120.0
"""Building a task or scoring many predictions takes seconds; a hub that is silent for longer is stuck."""

CONNECT_SECONDS = 5.0
"""An address behind which there is no pod drops packets: waiting longer for it would hold up the work on others."""


class HubError(AarError):
    """A call to a hub failed."""


class HubDown(HubError):
    """The hub does not answer: it starts, restarts or is gone."""


class HubUnclear(HubError):
    """The hub answered, but not as a hub of this version does: it is about to be replaced by one."""


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

    async def _get(self, read: Callable[[bytes], T], path: str, params: dict[str, int] | None = None) -> T:
        return self._read(read, await self._call("GET", path, params=params))

    def _read(self, read: Callable[[bytes], T], content: bytes) -> T:
        try:
            return read(content)
        except ValidationError as error:
            raise HubUnclear(f"What the hub at {self._url} answered cannot be read ({explain(error)}).") from error

    async def open(self, opening: CampaignOpening) -> None:
        """Hand the campaign over. Raises HubRefused with a condition reason if it cannot be run."""
        await self._call("PUT", "/v1/operator/campaign", opening.dump())

    async def campaign(self) -> CampaignOpening | None:
        """The campaign as the hub took it last; none before it was opened."""
        try:
            return await self._get(CampaignOpening.model_validate_json, "/v1/operator/campaign")
        except HubRefused as refused:
            if refused.reason != Reason.HUB_PENDING:
                raise
            return None

    async def summary(self) -> Summary:
        """The state of the science."""
        return await self._get(Summary.model_validate_json, "/v1/operator/summary")

    async def stage(self, stage: Stage, reason: str) -> Summary:
        """Move the campaign on; its state then."""
        answer = await self._call("PUT", "/v1/operator/stage", StageChange(stage=stage, reason=reason).dump())
        return self._read(Summary.model_validate_json, answer)

    async def feed(self, cursor: int) -> FeedPage:
        """What has to be carried out after a cursor."""
        return await self._get(FeedPage.model_validate_json, "/v1/operator/feed", {"cursor": cursor})

    async def admit(self, name: str, request: AdmissionRequest) -> AdmissionAnswer:
        """Have an experiment checked, reserved for and given seeds."""
        answer = await self._call("PUT", f"/v1/operator/experiments/{name}/admission", request.dump())
        return self._read(AdmissionAnswer.model_validate_json, answer)

    async def settle(self, name: str, settlement: Settlement) -> ExperimentView:
        """Have an ended experiment scored and paid for."""
        answer = await self._call("PUT", f"/v1/operator/experiments/{name}/settlement", settlement.dump())
        return self._read(ExperimentView.model_validate_json, answer)

    async def experiments(self) -> list[ExperimentView]:
        """Every experiment the hub knows."""
        return await self._get(EXPERIMENTS.validate_json, "/v1/operator/experiments")

    async def unsettled(self) -> list[ExperimentView]:
        """Those that the hub waits for."""
        return await self._get(EXPERIMENTS.validate_json, "/v1/operator/experiments", {"unsettled": 1})

    async def token(self, role: Role, subject: str) -> str:
        """A signed token; the same every time."""
        return (await self._get(TokenAnswer.model_validate_json, f"/v1/operator/tokens/{role}/{subject}")).token

    async def report(self) -> Report:
        """Everything a person reads at the end."""
        return await self._get(Report.model_validate_json, "/v1/operator/report")
