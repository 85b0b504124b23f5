"""Whether sandboxes are closed, as probes that ran inside them saw it, and whether research may begin."""

from __future__ import annotations

from dataclasses import dataclass

from aar_api import names
from aar_api.campaign import ResearchCampaign
from aar_api.conditions import Reason

from aar_operator.manifests import isolation
from aar_operator.manifests.common import part_namespace
from aar_operator.plan.model import CampaignSeen, Manifest
from aar_operator.settings import Settings

PROBE = isolation.NAME
"""Name of the Job in each part."""
ONE_MACHINE = "On one machine researchers and experiments are ordinary processes: nothing isolates them."


@dataclass(frozen=True)
class Verdict:
    """What is known of the walls."""

    holds: bool | None
    """None while probes run."""
    reason: Reason
    message: str
    probes: tuple[Manifest, ...] = ()
    """Probes that have still to be made."""
    research: bool = True
    """Whether research may begin."""


def parts(campaign: ResearchCampaign) -> list[str]:
    """Parts that run what nobody trusts, and the one that sees true labels."""
    return ["baseline", "verify", *(names.researcher(index) for index in range(campaign.spec.researchers.count))]


def holds_out(part: str, seen: CampaignSeen, settings: Settings) -> bool | None:
    """Whether a researcher may be at work in a part; none while nobody knows: then none begins, and one that works goes on."""
    if settings.one_machine or settings.isolation != "Required":
        return True
    probe = seen.probes.get(part)
    ended = probe is not None and probe.state in ("succeeded", "failed")
    return probe.state == "succeeded" if ended and probe is not None else None


def judge(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings) -> Verdict:
    """One verdict over all parts."""
    if settings.one_machine:
        return Verdict(False, Reason.NOT_VERIFIED, ONE_MACHINE)
    required = settings.isolation == "Required"
    every = parts(campaign)
    failed = [part for part in every if part in seen.probes and seen.probes[part].state == "failed"]
    if failed:
        return _open(campaign, seen, failed, required)
    missing = [part for part in every if part not in seen.probes]
    url = seen.sandbox_url
    probes = tuple(isolation.build(campaign, part, url, settings) for part in missing if url is not None)
    running = [part for part in every if part not in missing and seen.probes[part].state != "succeeded"]
    if missing or running:
        left = len(missing) + len(running)
        message = f"{left} of {len(every)} sandboxes have still to be probed from inside."
        return Verdict(None, Reason.NOT_VERIFIED, message, probes, not required)
    message = f"Probes in {len(every)} sandboxes reached the hub and nothing else."
    return Verdict(True, Reason.PROBE_BLOCKED, message)


def _open(campaign: ResearchCampaign, seen: CampaignSeen, failed: list[str], required: bool) -> Verdict:
    first = failed[0]
    told = seen.probes[first].message or "The probe failed without saying why: see the log of its pod."
    namespace = part_namespace(campaign, first)
    way_out = f"correct the network and `kubectl delete job -n {namespace} {isolation.NAME}` to have it probed again"
    reason = Reason.PROBE_CONNECTED if seen.probes[first].connected else Reason.NOT_VERIFIED
    message = f"{len(failed)} of {len(parts(campaign))} sandboxes are not closed. {first}: {told} Now {way_out}."
    return Verdict(False, reason, message, (), not required)
