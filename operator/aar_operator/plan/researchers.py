"""A campaign's researchers: what they are made of, who is stopped, goes on or ends."""

from __future__ import annotations

from aar_api import names
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests import researcher
from aar_operator.manifests.common import part_namespace
from aar_operator.plan.model import CampaignSeen, Manifest, ResearcherState, Target
from aar_operator.settings import Settings


def objects(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings) -> list[Manifest]:
    """Objects of the researchers that have a token; the Job of one that ended is not made again."""
    made: list[Manifest] = []
    for index in range(campaign.spec.researchers.count):
        part = names.researcher(index)
        token = seen.researcher_tokens.get(part)
        if token is None or seen.sandbox_url is None or seen.researchers.get(part) in ("succeeded", "failed"):
            continue
        made += researcher.build(campaign, index, seen.sandbox_url, token, settings)
    return made


def suspend(
    campaign: ResearchCampaign, seen: CampaignSeen, state: ResearcherState, wanted: bool
) -> tuple[tuple[Target, Manifest], ...]:
    """Patches that stop the researchers in that state, or let them go on."""
    parts = [part for part, found in seen.researchers.items() if found == state]
    targets = [Target("Job", part_namespace(campaign, part), researcher.NAME) for part in parts]
    return tuple((target, {"spec": {"suspend": wanted}}) for target in targets)


def jobs(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    """Jobs of the researchers that have not ended."""
    return tuple(
        Target("Job", part_namespace(campaign, part), researcher.NAME)
        for part, s in seen.researchers.items()
        if s in ("active", "suspended")
    )
