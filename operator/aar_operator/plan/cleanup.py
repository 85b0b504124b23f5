"""What is cleared away of a campaign that is over or deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aar_api import labels
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests import book
from aar_operator.manifests.common import part_namespace
from aar_operator.plan import ending, isolation, researchers
from aar_operator.plan.ground import POLL_SECONDS, finalizers
from aar_operator.plan.model import CampaignSeen, Plan, Target
from aar_operator.plan.status import observed
from aar_operator.settings import Settings


def over(campaign: ResearchCampaign, seen: CampaignSeen, now: datetime, settings: Settings) -> Plan:
    """What still runs ends; the campaign goes when its time is over, but not on one machine, where it is its folder."""
    left = None if settings.one_machine else ending.seconds_kept(campaign, now)
    if left is not None and left <= 0:
        meta = campaign.metadata
        return Plan(delete=(Target("ResearchCampaign", meta.namespace, meta.name),))
    told = seen.summary is not None and seen.summary.opened  # what was cancelled at the end is paid for after it
    changed = campaign.status.observed_generation != campaign.metadata.generation
    return Plan(
        delete=(*researchers.jobs(campaign, seen), *_probe_jobs(campaign, seen)),
        campaign_status=observed(campaign, seen, now) if told or changed else None,
        requeue=left,
    )


def deleted(campaign: ResearchCampaign, seen: CampaignSeen, now: datetime, settings: Settings) -> Plan:
    """First what spends, while the hub can still settle it; then enter what was spent; then the namespaces; then let go."""
    if labels.FINALIZER not in campaign.metadata.finalizers:
        return Plan()
    status = observed(campaign, seen, now)
    if seen.children:
        jobs = researchers.jobs(campaign, seen)
        return Plan(delete=(*seen.children, *jobs), campaign_status=status, requeue=POLL_SECONDS)
    spaces = tuple(Target("Namespace", "", name) for name in seen.namespaces)
    if not spaces:
        kept = tuple(f for f in campaign.metadata.finalizers if f != labels.FINALIZER)
        return Plan(release=(finalizers(campaign, kept),))
    return Plan(
        **_entered(campaign.model_copy(update={"status": status}), seen, settings),
        delete=spaces,
        campaign_status=status,
        requeue=POLL_SECONDS,
    )


def _entered(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings) -> dict[str, Any]:
    """What keeps a deleted campaign's spend in its namespace's book."""
    if settings.one_machine or not campaign.status.spend_by_month:
        return {}
    empty = book.build(campaign.metadata.namespace, settings)
    meta = empty["metadata"]
    return {
        "create": (empty,),
        "merge": (
            (
                Target("ConfigMap", meta["namespace"], meta["name"]),
                book.entry(campaign.metadata.uid, campaign.status.spend_by_month, seen.outdated),
            ),
        ),
    }


def _probe_jobs(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Target, ...]:
    """Probes that would go on trying."""
    return tuple(
        Target("Job", part_namespace(campaign, part), isolation.PROBE)
        for part, probe in seen.probes.items()
        if probe.state in ("active", "suspended")
    )
