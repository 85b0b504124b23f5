"""What the hub is told of an experiment that has ended, and what its status says once the hub has scored and paid it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from aar_api.conditions import ExperimentCondition, Reason
from aar_api.experiment import Cost, Experiment, ExperimentStatus, Score, SeedOutcome
from aar_api.wire import ExperimentView, IndexOutcome, Settlement

from aar_operator.plan.model import ExperimentSeen, Plan
from aar_operator.plan.running import with_job
from aar_operator.plan.verdicts import Verdict, known_reason, stamp, write

MAX_IMAGE = 500
"""Characters of what is told of images: one has some 100, and more than one ran only if a tag was moved meanwhile."""


def settlement(seen: ExperimentSeen, outcome: Literal["finished", "cancelled", "lost"]) -> Settlement:
    """How it ended, with what all its attempts ran."""
    if seen.job is None:
        return Settlement(job_name="", job_uid="", outcome=outcome, indexes=_paid((), seen))
    indexes = _paid(seen.job.indexes, seen)
    job = seen.job
    return Settlement(job_name=job.name, job_uid=job.uid, image=job.image[:MAX_IMAGE], outcome=outcome, indexes=indexes)


def refused_job(experiment: Experiment, seen: ExperimentSeen, why: str) -> Settlement:
    """What the hub is told of a Job that the cluster will never take."""
    told = [
        IndexOutcome(index=index, succeeded=False, reason=str(Reason.CLUSTER_REFUSED), message=why[:2000])
        for index in range(experiment.spec.seeds)
    ]
    return Settlement(job_name="", job_uid="", outcome="finished", indexes=_paid(tuple(told), seen))


def _paid(indexes: tuple[IndexOutcome, ...], seen: ExperimentSeen) -> tuple[IndexOutcome, ...]:
    """The outcomes of the newest Job with what earlier ones ran, which is owed too."""
    known = {one.index: one for one in indexes}
    for index, ran in seen.ran.items():
        one = known.get(index, IndexOutcome(index=index, succeeded=False))
        known[index] = one.model_copy(update={"seconds": one.seconds + ran})
    return tuple(known[index] for index in sorted(known))


def unscored(experiment: Experiment, seen: ExperimentSeen, why: str, now: datetime) -> ExperimentStatus:
    """What is said of an experiment whose Job has ended while its hub does not score it."""
    message = f"Its Job has ended and waits for its score. {why} It is asked again."
    waits = Verdict(ExperimentCondition.SCORED, False, Reason.WAITING_FOR_SCORER, message)
    return write(with_job(experiment, seen, now), "Scoring", now, waits)


def after_settlement(experiment: Experiment, seen: ExperimentSeen, view: ExperimentView, now: datetime) -> Plan:
    """The second step, when the hub scored the experiment and settled its money."""
    known = {
        "seeds": _settled_seeds(view),
        "cost": Cost(reserved_usd=view.reserved_usd, total_usd=view.cost_usd),
        "audit": view.audit,
        "completion_time": stamp(now),
        "attempts": max(experiment.status.attempts, seen.attempt),
    }
    if view.score is not None:
        known["score"] = Score(
            pgr=f"{view.score.pgr:.4f}",
            stderr=f"{view.score.stderr:.4f}",
            split=view.score.split,
            receipt=view.score.receipt,
        )
    phase: Literal["Complete", "Failed", "Cancelled"]
    phase, verdicts = _ending(view)
    verdicts += _audited(view)
    if any(c.type == ExperimentCondition.BUDGET_RESERVED for c in experiment.status.conditions):
        told = f"{view.cost_usd} USD were paid; what was held is free again."
        verdicts += (Verdict(ExperimentCondition.BUDGET_RESERVED, False, Reason.SETTLED, told),)
    # A Job that ended before anybody saw it run is told of here for the first time.
    status = write(with_job(experiment, seen, now), phase, now, *verdicts).model_copy(update=known)
    return Plan(experiment_status=status)


def _ending(view: ExperimentView) -> tuple[Literal["Complete", "Failed", "Cancelled"], tuple[Verdict, ...]]:
    if view.state == "scored":
        scored = view.score is not None
        reason = Reason.SCORE_RECORDED if scored else Reason.OUTPUT_RECORDED
        pgr = f"PGR {view.score.pgr:.3f} ± {view.score.stderr:.3f}." if view.score else ""
        message = " ".join(filter(None, (pgr, view.message)))
        message = message or "The output was recorded."
        done = Verdict(ExperimentCondition.COMPLETE, True, reason, message)
        return "Complete", (done, Verdict(ExperimentCondition.SCORED, scored, reason, message))
    if view.state == "cancelled":
        return "Cancelled", without_score(Reason.CANCELLED, view.message or "It was cancelled.")
    return "Failed", without_score(known_reason(view.reason, Reason.JOB_FAILED), view.message or "It failed.")


def without_score(reason: Reason, message: str) -> tuple[Verdict, ...]:
    """What is said of an experiment that is over and has no score, nor waits for one."""
    return tuple(
        Verdict(kind, holds, reason, message)
        for kind, holds in ((ExperimentCondition.FAILED, True), (ExperimentCondition.SCORED, False))
    )


def _audited(view: ExperimentView) -> tuple[Verdict, ...]:
    if view.audit == "Suspect":
        return (
            Verdict(
                ExperimentCondition.AUDITED, False, Reason.SUSPECT, view.audit_message or "An audit found something."
            ),
        )
    clean = Verdict(ExperimentCondition.AUDITED, True, Reason.CLEAN, "No audit found anything.")
    return (clean,) if view.audit == "Clean" else ()


def _settled_seeds(view: ExperimentView) -> tuple[SeedOutcome, ...]:
    return tuple(
        SeedOutcome(
            index=one.index,
            seed=one.seed,
            state="Succeeded" if one.ok else "Failed",
            reason=one.reason[:64],
            message=one.message[:2048],
        )
        for one in view.seeds
    )
