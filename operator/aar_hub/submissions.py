"""What a researcher asks for: checked, counted and put into the feed, or refused with a sentence."""

from __future__ import annotations

import sqlalchemy as sa
from aar_api import money, names
from aar_api.experiment import ExperimentSpec, Method, SubmittedBy
from aar_api.wire import ExperimentView, FeedEvent, Submission

from aar_hub import purse, records, requests, snapshots, views
from aar_hub.domain import ledger
from aar_hub.errors import Conflict, NotFound, Refused
from aar_hub.hub import Hub
from aar_hub.records import UNSETTLED, Campaign, Exp
from aar_hub.store import tables

FRESH = ("refused", "cancelled")
"""States after which the same question may be asked again: it was never answered."""


def submit(hub: Hub, researcher: str, asked: Submission) -> ExperimentView:
    """Take a submission; the same key again gives the same experiment.

    Raises:
        Refused: with a condition reason.
        Conflict: research has not begun, or is over.
    """
    with hub.db.write() as tx:
        campaign = records.campaign(tx)
        known = records.experiments(
            tx, tables.experiments.c.researcher == researcher, tables.experiments.c.key == asked.key
        )
        if known:
            return views.experiment(tx, campaign, known[0])
        _check_stage(campaign)
        task = records.all_tasks(tx)[0]
        spec = requests.spec_of(
            campaign,
            task,
            Method(snapshot=asked.snapshot, config=asked.config),
            SubmittedBy(researcher=researcher, key=asked.key),
            purpose="Smoke" if asked.smoke else "Exploration",
            seeds=asked.seeds,
            hypothesis=asked.hypothesis,
        )
        if not snapshots.exists(tx, asked.snapshot):
            raise Refused("SnapshotMissing", f"The hub holds no snapshot {asked.snapshot}: upload it first.")
        check(tx, hub, campaign, spec, task.key)
        name = names.experiment(campaign.name, researcher, asked.key)
        if records.find_experiment(tx, name) is not None:
            raise Refused(
                "Duplicate", f"The key {asked.key!r} leads to the name {name}, which is taken: use another key."
            )
        requests.request(tx, name, spec, task, researcher, label=asked.label)
        return views.experiment(tx, campaign, records.experiment(tx, name))


def _check_stage(campaign: Campaign) -> None:
    if campaign.stage == "preparing":
        raise Conflict(
            "Preparing", "Weak labels, floor and ceiling are still being made: submit once the stage is researching."
        )
    if campaign.stage != "researching":
        raise Conflict(
            "CampaignFinished", f"Research has ended (stage {campaign.stage}): nothing more can be submitted."
        )


def check(tx: sa.Connection, hub: Hub, campaign: Campaign, spec: ExperimentSpec, task: str) -> None:
    """The rules of exploration, whoever asks.

    Raises:
        Refused: one of them is broken.
    """
    limits = campaign.spec.experiments
    assert spec.submitted_by is not None, "it is always written out"
    if spec.seeds > limits.seeds:
        raise Refused(
            "InvalidSpec", f"seeds is {spec.seeds}, but experiments.seeds allows at most {limits.seeds}: ask for fewer."
        )
    _check_duplicate(tx, requests.content(spec, task))
    if spec.purpose == "Exploration":
        _check_counts(tx, campaign, spec.submitted_by.researcher)
    else:
        _check_smoke(tx, campaign, spec.submitted_by.researcher)
    assert spec.active_deadline_seconds is not None, "it is always written out"
    amount = ledger.worst_case(spec.seeds, spec.active_deadline_seconds, spec.resources, hub.prices, ledger.ATTEMPTS)
    gpu = ledger.worst_gpu(spec.seeds, spec.active_deadline_seconds, spec.resources, hub.prices, ledger.ATTEMPTS)
    balance = purse.balance(tx, campaign)
    if balance.gpu.decide(gpu) == "no" and gpu:
        raise Refused(
            "BudgetExceeded",
            f"The experiment's GPUs may cost {money.format_usd(gpu)} USD, but of budget.gpuLimitUSD, {campaign.spec.budget.gpu_limit_usd} USD, "
            f"{money.format_usd(balance.gpu.spent)} are spent and {money.format_usd(balance.gpu.verification)} held for verification: ask for "
            "fewer seeds, or have budget.gpuLimitUSD raised.",
        )
    if balance.decide(amount) == "no":
        raise Refused(
            "BudgetExceeded",
            f"The experiment may cost {money.format_usd(amount)} USD, but of {campaign.spec.budget.limit_usd} USD "
            f"{money.format_usd(balance.spent)} are spent and {money.format_usd(balance.verification)} held for verification: ask for "
            "fewer seeds, or have budget.limitUSD raised.",
        )


def _check_duplicate(tx: sa.Connection, content: str) -> None:
    where = (tables.experiments.c.content == content, tables.experiments.c.state.not_in(FRESH))
    twins = [one for one in records.experiments(tx, *where) if one.reason != "JobFailed"]
    if twins:
        raise Refused(
            "Duplicate",
            f"The same code, configuration and number of seeds is experiment {twins[0].name} ({twins[0].state}): read its result, or "
            "change something.",
        )


def _check_counts(tx: sa.Connection, campaign: Campaign, researcher: str) -> None:
    limit = campaign.spec.experiments.max_count
    if explored(tx) >= limit:
        raise Refused("QuotaExceeded", f"All {limit} exploration experiments of experiments.maxCount are used: finish.")
    own, most = len(counted(tx, researcher)), campaign.spec.evaluation.submissions_per_researcher
    if researcher != requests.OWNER and own >= most:
        raise Refused(
            "SubmissionsExceeded",
            f"Researcher {researcher} has made all {most} submissions of evaluation.submissionsPerResearcher: finish.",
        )


def _check_smoke(tx: sa.Connection, campaign: Campaign, researcher: str) -> None:
    """Smoke runs have no score, but what they print is told."""
    most = campaign.spec.evaluation.submissions_per_researcher
    if researcher != requests.OWNER and len(_ran(tx, "Smoke", researcher)) >= most:
        raise Refused(
            "SubmissionsExceeded",
            f"Researcher {researcher} has made {most} smoke runs, as many as evaluation.submissionsPerResearcher: submit without smoke.",
        )


def counted(tx: sa.Connection, researcher: str | None = None) -> list[Exp]:
    """Exploration that counts: all but what never ran. What was cancelled once its seeds were drawn counts, or cancelling would pick seeds."""
    return _ran(tx, "Exploration", researcher)


def _ran(tx: sa.Connection, purpose: str, researcher: str | None) -> list[Exp]:
    where = [tables.experiments.c.purpose == purpose, tables.experiments.c.state != "refused"]
    if researcher is not None:
        where.append(tables.experiments.c.researcher == researcher)
    return [one for one in records.experiments(tx, *where) if one.state != "cancelled" or one.drawn]


def explored(tx: sa.Connection) -> int:
    """How many exploration experiments count."""
    return len(counted(tx))


def answered(tx: sa.Connection, researcher: str) -> int:
    """Submissions of a researcher that have ended."""
    return sum(1 for one in counted(tx, researcher) if one.state not in UNSETTLED)


def own(tx: sa.Connection, researcher: str, name: str) -> Exp:
    """One of a researcher's experiments.

    Raises:
        NotFound: it is not there, or a colleague's.
    """
    exp = records.find_experiment(tx, name)
    if exp is None or exp.researcher != researcher:
        raise NotFound("NotFound", f"{name!r} is no experiment of yours: GET /v1/experiments lists them.")
    return exp


def cancel(hub: Hub, researcher: str, name: str) -> ExperimentView:
    """Ask the operator to stop an experiment; what has ended stays as it is."""
    with hub.db.write() as tx:
        exp = own(tx, researcher, name)
        if exp.state in UNSETTLED:
            records.emit(tx, FeedEvent(cursor=0, kind="cancel-requested", experiment=name).dump())
        return views.experiment(tx, records.campaign(tx), exp)
