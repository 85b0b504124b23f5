"""Observed children to counts; never lists of names."""

from __future__ import annotations

from aar_api.campaign import Best, Counts, ResearchCampaign, ResearcherCounts
from aar_api.wire import Summary

from aar_operator.plan.ending import done
from aar_operator.plan.model import CampaignSeen


def experiments(seen: CampaignSeen) -> Counts:
    """Experiments by state."""

    def of(*phases: str) -> int:
        return sum(seen.phases.get(phase, 0) for phase in phases)

    return Counts(
        total=of(*seen.phases),
        queued=of("Pending", "Queued"),
        running=of("Running", "Scoring"),
        scored=of("Complete"),
        failed=of("Failed", "Cancelled"),
    )


def researchers(campaign: ResearchCampaign, seen: CampaignSeen, summary: Summary | None) -> ResearcherCounts:
    """Researchers by state."""
    states = seen.researchers
    known = set(states) | set(() if summary is None else summary.researchers_finished)
    finished = {part for part in known if summary is not None and done(part, seen, summary)}
    failed = {part for part, state in states.items() if state == "failed"}
    return ResearcherCounts(
        desired=campaign.spec.researchers.count,
        active=len(set(states) - finished - failed),
        finished=len(finished - failed),
        failed=len(failed),
    )


def best(summary: Summary) -> Best | None:
    """The best result as decimal strings."""
    found = summary.best
    if found is None:
        return None
    return Best(
        experiment_name=found.experiment,
        method=found.method,
        pgr=f"{found.pgr:.3f}",
        stderr=f"{found.stderr:.3f}",
        confirmed=found.confirmed,
    )
