"""What holds an experiment while there is money or a Job of it, and how it is let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from aar_api import labels
from aar_api.experiment import Experiment

from aar_operator.plan.model import ExperimentSeen, Plan, Target
from aar_operator.plan.running import job_of
from aar_operator.plan.settling import settlement
from aar_operator.plan.waits import AGAIN_SECONDS, SELDOM_SECONDS
from aar_operator.settings import Settings

SILENCE_SECONDS = 60.0
"""How long a hub may be silent, while it starts again for example, before an experiment that has to go is let go unpaid."""
UNSETTLED_SECONDS = 120.0
"""How long the deletion of a campaign waits for a hub that answers but settles nothing."""


def over(experiment: Experiment, seen: ExperimentSeen, settings: Settings) -> Plan:
    """Its Secret goes, and its Job, at once or after the time for which its log is kept; then nothing holds the object."""
    release = _released(experiment)
    if seen.job is None:
        return Plan(release=release)
    keep = settings.job_ttl_seconds if not settings.one_machine else 0
    if keep == 0 or not seen.job.finished or experiment.metadata.deletion_timestamp is not None:
        return Plan(delete=children(seen), release=release)
    if seen.job.expires:
        return Plan(delete=(_secret(seen),) if release else (), release=release)
    expiry = (job_of(seen), {"spec": {"ttlSecondsAfterFinished": keep}})
    return Plan(merge=(expiry,), delete=(_secret(seen),), release=release)


def deleted(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
    """What ran is paid for and scored like a cancelled one, if there is still a hub to say it to; then nothing is left of it."""
    if labels.FINALIZER not in experiment.metadata.finalizers:
        return Plan(delete=children(seen))
    campaign, let_go = seen.campaign, Plan(delete=children(seen), release=_released(experiment))
    if campaign is None:
        return let_go
    if seen.summary is not None:
        return Plan(settle=settlement(seen, "cancelled")) if seen.summary.opened else let_go
    if campaign.status.phase != "Failed" and campaign.metadata.deletion_timestamp is None:
        return Plan(requeue=SELDOM_SECONDS)
    # Nobody will have the hub answer again: what ran is lost if it does not soon.
    since = (now - datetime.fromisoformat(str(experiment.metadata.deletion_timestamp))).total_seconds()
    return Plan(requeue=AGAIN_SECONDS) if seen.unasked or since < SILENCE_SECONDS else let_go


def without_settlement(experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan | None:
    """The second step, when the hub does not settle the experiment, as one whose volume is full: none while that may still come. The
    deletion of a campaign is not held up by it for ever.
    """
    campaign = seen.campaign
    if campaign is None or experiment.metadata.deletion_timestamp is None:
        return None
    since = campaign.metadata.deletion_timestamp
    if since is None or (now - datetime.fromisoformat(since)).total_seconds() < UNSETTLED_SECONDS:
        return None
    return Plan(delete=children(seen), release=_released(experiment))


def held(experiment: Experiment) -> tuple[tuple[Target, dict[str, Any]], ...]:
    """The patch that holds an object from before money is reserved for it until that is settled, if it is not held yet."""
    finalizers = experiment.metadata.finalizers
    if labels.FINALIZER in finalizers:
        return ()
    return ((_own(experiment), {"metadata": {"finalizers": [*finalizers, labels.FINALIZER]}}),)


def _released(experiment: Experiment) -> tuple[tuple[Target, dict[str, Any]], ...]:
    """The patch that lets a deleted object go, if it is still held."""
    kept = [one for one in experiment.metadata.finalizers if one != labels.FINALIZER]
    if len(kept) == len(experiment.metadata.finalizers):
        return ()
    return ((_own(experiment), {"metadata": {"finalizers": kept}}),)


def _own(experiment: Experiment) -> Target:
    return Target("Experiment", experiment.metadata.namespace, experiment.metadata.name)


def children(seen: ExperimentSeen) -> tuple[Target, ...]:
    """The Job last: without it nobody would know of the Secret. That goes by its name alone: it is an attempt's of one Experiment, in a
    namespace that is ours, and no other writes there.
    """
    if seen.job is None:
        return ()
    return (_secret(seen), job_of(seen))


def _secret(seen: ExperimentSeen) -> Target:
    return replace(job_of(seen), kind="Secret")
