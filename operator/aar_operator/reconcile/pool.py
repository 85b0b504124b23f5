"""Where each campaign's hub is: found by its Service and Secret, one client a hub."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from datetime import datetime

from aar_api.campaign import CampaignSpec, ResearchCampaign
from aar_api.wire import ErrorBody, Summary

from aar_operator.cluster import Cluster, Manifest, Ref
from aar_operator.hubs import Hub, HubDown, HubError
from aar_operator.manifests import hub as manifest
from aar_operator.manifests.common import part_namespace
from aar_operator.plan.model import FINISHED
from aar_operator.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """A spec that the hub did not take."""

    generation: int
    body: ErrorBody
    when: datetime


@dataclass
class Line:
    """The line to one campaign's hub."""

    url: str
    token: str
    sandbox_url: str
    hub: Hub
    opened: int = 0
    """Generation of the campaign that the hub took last; 0 while nobody knows."""
    in_force: CampaignSpec | None = None
    """The spec that the hub took last; none until it is known."""
    refusal: Refusal | None = None
    """Of what the hub was given since."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Of the researchers, by part; a hub gives the same every time."""
    summary: Summary | None = None
    """What the hub said last; none once it stops answering."""
    asked: bool = False
    """Whether the hub was asked at all, since it has this address."""
    swept: datetime | None = None
    """When the hub was last asked what it waits for."""
    orphans: frozenset[str] = frozenset()
    """What it waited for then that had no object."""
    told: bool = False
    """Whether the campaign's experiments were woken since the hub answers."""
    trouble: str = ""
    """What the hub says in place of an answer."""

    def silent(self, error: HubError | None = None) -> None:
        """The hub does not answer, or not as it should."""
        self.summary, self.told, self.asked = None, False, True
        trouble = "" if error is None or isinstance(error, HubDown) else str(error)
        if trouble and trouble != self.trouble:
            log.warning("The hub at %s is of no use: %s", self.url, trouble)
        self.trouble = trouble

    def forget(self) -> None:
        """The hub knows of no campaign."""
        self.opened, self.in_force, self.refusal, self.told = 0, None, None, False
        self.tokens.clear()

    def took(self, spec: CampaignSpec, generation: int) -> None:
        """The hub took a spec."""
        self.opened, self.in_force, self.refusal = generation, spec, None

    def refused(self, generation: int, now: datetime, seconds: float) -> ErrorBody | None:
        """Why the hub did not take that generation of the spec, if it said so in the last so many seconds."""
        if self.refusal is None or self.refusal.generation != generation:
            return None
        return self.refusal.body if (now - self.refusal.when).total_seconds() < seconds else None

    def plan_by(self, campaign: ResearchCampaign) -> ResearchCampaign:
        """The campaign as it is in force: as the hub took it last, but suspended or not as its owner says now. Of one that is over
        nothing is in force any more.
        """
        if self.in_force is None or campaign.status.phase in FINISHED:
            return campaign
        spec = self.in_force.model_copy(update={"suspend": campaign.spec.suspend})
        return campaign.model_copy(update={"spec": spec})

    @property
    def answers(self) -> bool:
        """Whether there is a hub that knows the campaign."""
        return self.summary is not None and self.summary.opened


class HubPool:
    """Lines by campaign UID."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster, self._settings = cluster, settings
        self._lines: dict[str, Line] = {}
        self._hubless: set[str] = set()
        """UIDs of campaigns of which the server has said that they have no hub."""

    async def token(self, campaign: ResearchCampaign) -> str | None:
        """The operator's token to the campaign's hub, if its Secret is there."""
        namespace = part_namespace(campaign, "hub")
        secret = await self._cluster.get(Ref("Secret", namespace, manifest.NAME))
        return None if secret is None else _secret(secret, "operatorToken")

    async def look(self, campaign: ResearchCampaign) -> None:
        """Have the server say where the hub is, where nobody here has heard of it; once, if there is none."""
        if campaign.metadata.uid in self._hubless:
            return
        for kind in ("Secret", "Service"):
            await self._cluster.find(kind, namespace=part_namespace(campaign, "hub"), fresh=True)
        if await self.line(campaign) is None:
            self._hubless.add(campaign.metadata.uid)

    async def line(self, campaign: ResearchCampaign) -> Line | None:
        """The line to the campaign's hub; none until its Service has an address."""
        service = await self._cluster.get(Ref("Service", part_namespace(campaign, "hub"), manifest.NAME))
        token = await self.token(campaign)
        host = (service or {}).get("spec", {}).get("clusterIP")
        known = self._lines.get(campaign.metadata.uid)
        if service is None or token is None or not host:
            if known is not None:
                known.silent()
            return None
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        where = f"[{host}]" if ":" in host else host
        url = f"http://{where}:{ports['operator']}"
        if self._settings.hub_url:
            url = self._settings.hub_url.format(namespace=part_namespace(campaign, "hub"), port=ports["operator"])
        if known is not None and (known.url, known.token) == (url, token):
            return known
        if known is not None:
            await known.hub.close()
        taken = None if known is None else known.in_force
        fresh = Line(url, token, f"http://{where}:{ports['sandbox']}", Hub(url, token), in_force=taken)
        self._lines[campaign.metadata.uid] = fresh
        return fresh

    async def drop(self, uid: str) -> None:
        """Forget a campaign that is gone."""
        self._hubless.discard(uid)
        line = self._lines.pop(uid, None)
        if line is not None:
            await line.hub.close()

    async def close(self) -> None:
        """Close every line."""
        for uid in list(self._lines):
            await self.drop(uid)
        self._hubless.clear()


def _secret(secret: Manifest, key: str) -> str:
    if key in secret.get("stringData", {}):
        return str(secret["stringData"][key])
    return base64.b64decode(secret["data"][key]).decode()
