"""A campaign's researchers: what they are made of, who is stopped, goes on or ends."""

from __future__ import annotations

from aar_api import names
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests import researcher
from aar_operator.manifests.common import part_namespace
from aar_operator.plan import isolation
from aar_operator.plan.model import CampaignSeen, Manifest, ResearcherState, Target
from aar_operator.settings import Settings

Patch = tuple[Target, Manifest]


def objects(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings) -> list[Manifest]:
    """Objects of the researchers that have a token and walls around them; the Job of one that ended is not made again."""
    made: list[Manifest] = []
    for index in range(campaign.spec.researchers.count):
        part = names.researcher(index)
        token = seen.researcher_tokens.get(part)
        if token is None or seen.sandbox_url is None or seen.researchers.get(part) in ("succeeded", "failed"):
            continue
        if not isolation.holds_out(part, seen, settings):
            continue
        made += researcher.build(campaign, index, seen.sandbox_url, token, settings)
    return made


def stopped(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Patch, ...]:
    """Patches that stop all that work."""
    return _suspend(campaign, _in_state(seen, "active"), True)


def held(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings) -> tuple[Patch, ...]:
    """Patches that stop those whose walls turned out to be open, and let the others that were stopped go on."""
    walls = {part: isolation.holds_out(part, seen, settings) for part in seen.researchers}
    bare = [part for part in _in_state(seen, "active") if walls[part] is False]
    safe = [part for part in _in_state(seen, "suspended") if walls[part]]
    return (*_suspend(campaign, bare, True), *_suspend(campaign, safe, False))


def jobs(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    """Jobs of the researchers that have not ended."""
    return tuple(_job(campaign, part) for part in _in_state(seen, "active", "suspended"))


def surplus(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    """Jobs that have not ended of researchers that the campaign has no more."""
    wanted = {names.researcher(index) for index in range(campaign.spec.researchers.count)}
    return tuple(_job(campaign, part) for part in _in_state(seen, "active", "suspended") if part not in wanted)


def _in_state(seen: CampaignSeen, *states: ResearcherState) -> list[str]:
    return [part for part, state in seen.researchers.items() if state in states]


def _suspend(campaign: ResearchCampaign, parts: list[str], wanted: bool) -> tuple[Patch, ...]:
    return tuple((_job(campaign, part), {"spec": {"suspend": wanted}}) for part in parts)


def _job(campaign: ResearchCampaign, part: str) -> Target:
    return Target("Job", part_namespace(campaign, part), researcher.NAME)
