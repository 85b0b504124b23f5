"""Whether sandboxes are closed, as probes that ran inside them saw it, and whether research may begin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from aar_api import names
from aar_api.campaign import ResearchCampaign
from aar_api.conditions import Reason

from aar_operator.manifests import isolation
from aar_operator.manifests.common import part_namespace
from aar_operator.plan.model import CampaignSeen, Manifest, Probe, Target
from aar_operator.settings import Settings

PROBE = isolation.NAME
"""Name of the Job in each part."""
AGAIN_SECONDS = 300
"""From the end of a probe that found out nothing to the next, which may take twice as long."""
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
    old: tuple[Target, ...] = ()
    """Probes that found out nothing, to be made anew."""


def parts(campaign: ResearchCampaign) -> list[str]:
    """Parts that run what nobody trusts, and the one that sees true labels."""
    return ["baseline", "verify", *(names.researcher(index) for index in range(campaign.spec.researchers.count))]


def holds_out(part: str, seen: CampaignSeen, settings: Settings) -> bool | None:
    """Whether a researcher may be at work in a part; none while nobody knows: then none begins, and one that works goes on."""
    if settings.one_machine or settings.isolation != "Required":
        return True
    probe = seen.probes.get(part)
    if probe is not None and (probe.connected or probe.state == "succeeded"):
        return not probe.connected
    return None


def judge(campaign: ResearchCampaign, seen: CampaignSeen, settings: Settings, now: datetime) -> Verdict:
    """One verdict over all parts."""
    if settings.one_machine:
        return Verdict(False, Reason.NOT_VERIFIED, ONE_MACHINE)
    required = settings.isolation == "Required"
    every = parts(campaign)
    failed = [part for part in every if part in seen.probes and seen.probes[part].state == "failed"]
    missing = [part for part in every if part not in seen.probes]
    url = seen.sandbox_url
    probes = tuple(isolation.build(campaign, part, url, settings) for part in missing if url is not None)
    if failed:
        return replace(_open(campaign, seen, failed, required, now), probes=probes)
    running = [part for part in every if part not in missing and seen.probes[part].state != "succeeded"]
    if missing or running:
        left = len(missing) + len(running)
        message = f"{left} of {len(every)} sandboxes have still to be probed from inside."
        return Verdict(None, Reason.NOT_VERIFIED, message, probes, not required)
    message = f"Probes in {len(every)} sandboxes reached the hub and nothing else."
    return Verdict(True, Reason.PROBE_BLOCKED, message)


def _open(campaign: ResearchCampaign, seen: CampaignSeen, failed: list[str], required: bool, now: datetime) -> Verdict:
    failed = sorted(failed, key=lambda part: not seen.probes[part].connected)
    first = failed[0]
    told = seen.probes[first].message or "The probe failed without saying why: see the log of its pod."
    namespace = part_namespace(campaign, first)
    command = f"`kubectl delete job -n {namespace} {isolation.NAME}`"
    if seen.probes[first].connected:
        reason, lack = Reason.PROBE_CONNECTED, "are not closed"
        way_out = f"Now correct the network and {command} to have it probed again."
    else:
        reason, lack = Reason.NOT_VERIFIED, "could not be probed"
        way_out = f"It is probed again {AGAIN_SECONDS // 60} minutes after its end, or at once after {command}."
    message = f"{len(failed)} of {len(parts(campaign))} sandboxes {lack}. {first}: {told} {way_out}"
    old = [part for part in failed if _stale(seen.probes[part], now)]
    targets = tuple(Target("Job", part_namespace(campaign, part), PROBE) for part in old)
    return Verdict(False, reason, message, research=not required, old=targets)


def _stale(probe: Probe, now: datetime) -> bool:
    """Whether a probe that found out nothing, for want of a node or an image, ended long enough ago."""
    if probe.connected or not probe.ended:
        return False
    return (now - datetime.fromisoformat(probe.ended)).total_seconds() >= AGAIN_SECONDS
