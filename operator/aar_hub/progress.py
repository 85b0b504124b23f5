"""How far the campaign is: for a researcher (brief), for the operator (summary, feed), and the moves between stages."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from aar_api import money
from aar_api.campaign import CampaignSpec
from aar_api.wire import Brief, FeedEvent, FeedPage, Purse, StageChange, Summary, SummaryBest

from aar_hub import forum, purse, records, scorer, submissions, views
from aar_hub.domain import ledger, seeds
from aar_hub.errors import Conflict
from aar_hub.hub import Hub
from aar_hub.records import Campaign
from aar_hub.store import tables

STAGES = ("preparing", "researching", "verifying", "done")
FEED_PAGE = 200
"""Events in one answer."""


def brief(hub: Hub, researcher: str) -> Brief:
    """What a researcher is told."""
    with hub.db.read() as tx:
        campaign = records.campaign(tx)
        spec = campaign.spec
        balance = purse.balance(tx, campaign)
        own = submissions.counted(tx, researcher)
        return Brief(
            campaign=campaign.name,
            researcher=researcher,
            task=spec.task.name,
            kind=spec.researchers.kind,
            direction=direction(spec, researcher),
            colleagues=spec.researchers.count,
            stage=campaign.stage,
            target=spec.objective.target,
            max_seeds=spec.experiments.seeds,
            parallelism=spec.experiments.parallelism,
            search_seed=seeds.draw(hub.keys.derive("search"), researcher, 1)[0],
            purse=Purse(
                limit_usd=spec.budget.limit_usd,
                left_usd=money.format_usd(max(0, balance.free)),
                submissions_left=max(0, spec.evaluation.submissions_per_researcher - len(own)),
                experiments_left=max(0, spec.experiments.max_count - submissions.explored(tx)),
                seconds_left=seconds_left(campaign),
                llm_left_usd=_llm_left(spec, balance),
            ),
            model=spec.researchers.model,
            max_turns=spec.researchers.max_turns,
        )


def _llm_left(spec: CampaignSpec, balance: ledger.Balance) -> str | None:
    limit = spec.budget.llm_limit_usd
    if limit is None:
        return None
    left = money.parse_usd(limit) - balance.llm_spent - balance.llm_reserved
    return money.format_usd(max(0, min(left, balance.free)))


def direction(spec: CampaignSpec, researcher: str) -> str:
    """The starting idea dealt to a researcher."""
    dealt = spec.researchers.directions
    return dealt[_number(researcher) % len(dealt)] if dealt else ""


def _number(researcher: str) -> int:
    digits = "".join(letter for letter in researcher if letter.isdigit())
    return int(digits or 0)


def seconds_left(campaign: Campaign) -> float | None:
    """Seconds until research has to end; none without a limit."""
    limit = campaign.spec.active_deadline_seconds
    if limit is None:
        return None
    opened = datetime.strptime(campaign.opened, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return max(0.0, limit - (datetime.now(UTC) - opened).total_seconds())


def summary(hub: Hub) -> Summary:
    """The state of the science."""
    with hub.db.read() as tx:
        campaign = records.find_campaign(tx)
        if campaign is None:
            return Summary(opened=False, stage="preparing")
        spec = campaign.spec
        explored = submissions.explored(tx)
        top = best(tx, hub, campaign)
        target = spec.objective.target
        reached = target is not None and any(row.pgr >= float(target) for row in views.leaderboard(tx))
        return Summary(
            opened=True,
            stage=campaign.stage,
            prepared=records.all_tasks(tx)[0].ready,
            verified=campaign.verified,
            failed=campaign.failed,
            submissions=explored,
            exploration_limit_reached=explored >= spec.experiments.max_count,
            target_reached=reached,
            purse_empty=_purse_empty(tx, hub, campaign),
            provider_fault=hub.provider.fault if campaign.stage == "researching" and not spec.suspend else "",
            researchers_finished=tuple(forum.finished(tx)),
            spend=purse.spend(tx),
            limit_usd=spec.budget.limit_usd,
            best=top,
            unconfirmed=views.unconfirmed(campaign),
            floors=_floors(tx, hub),
        )


def _purse_empty(tx: sa.Connection, hub: Hub, campaign: Campaign) -> bool:
    """Not even one seed could be paid for any more, however long one waits."""
    limits = campaign.spec.experiments
    amount = ledger.worst_case(1, limits.active_deadline_seconds, limits.resources, hub.prices)
    gpu = ledger.worst_gpu(1, limits.active_deadline_seconds, limits.resources, hub.prices)
    return purse.balance(tx, campaign).afford(amount, gpu) == "no"


def _floors(tx: sa.Connection, hub: Hub) -> dict[str, tuple[float, float]]:
    found = {}
    for row in records.all_tasks(tx):
        if row.ready:
            stick = scorer.yardstick(hub, row)
            found[row.ref.name] = (stick.floor("Feedback").value, stick.top("Feedback").value)
    return found


def best(tx: sa.Connection, hub: Hub, campaign: Campaign) -> SummaryBest | None:
    """The best confirmed on the private half; before that, the best of the leaderboard, which is only a hope."""
    confirmed = campaign.verdicts.get("confirmed") or []
    runs = [(name, verified_run(tx, name)) for name in confirmed]
    scored = [(name, row) for name, row in runs if row is not None]
    if scored:
        name, row = max(scored, key=lambda pair: float(pair[1]["pgr"]))
        exp = records.experiment(tx, name)
        held, failed = elsewhere(tx, campaign, name)
        return SummaryBest(
            experiment=name,
            method=exp.label or exp.builtin or "",
            pgr=row["pgr"],
            stderr=row["stderr"],
            confirmed=True,
            held_on=held,
            not_held_on=failed,
        )
    rows = views.leaderboard(tx)
    if not rows:
        return None
    top = rows[0]
    return SummaryBest(experiment=top.experiment, method=top.label, pgr=top.pgr, stderr=top.stderr, confirmed=False)


def elsewhere(tx: sa.Connection, campaign: Campaign, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Transfer tasks of the campaign that confirmed an experiment, and those that did not."""
    verdicts = campaign.verdicts.get("transfer", {})
    found: dict[bool, list[str]] = {True: [], False: []}
    for row in records.all_tasks(tx):
        if not row.main and row.ref in campaign.spec.evaluation.transfer_tasks:
            found[name in verdicts.get(row.key, {}).get("confirmed", [])].append(row.ref.name)
    return tuple(found[True]), tuple(found[False])


def verified_run(tx: sa.Connection, original: str) -> sa.RowMapping | None:
    """The score of the replication of an experiment."""
    exps = tables.experiments.c
    query = (
        sa.select(tables.scores)
        .join_from(tables.scores, tables.experiments, exps.name == tables.scores.c.experiment)
        .where(exps.purpose == "Replication", exps.replicates == original)
    )
    return tx.execute(query).mappings().first()


def move(hub: Hub, change: StageChange) -> None:
    """Move the campaign on; the same stage again changes nothing.

    Raises:
        Conflict: it would go back, or research would begin before there is a floor and a ceiling.
    """
    with hub.db.write() as tx:
        campaign = records.campaign(tx)
        here, there = STAGES.index(campaign.stage), STAGES.index(change.stage)
        if there < here:
            raise Conflict(
                "CampaignFinished",
                f"The campaign is {campaign.stage}, and stages go forward only, not to {change.stage}.",
            )
        if change.stage == "researching" and not records.all_tasks(tx)[0].ready:
            raise Conflict(
                "Preparing", "Weak labels, floor and ceiling are not there yet: wait until `prepared` is true."
            )
        if there > here:
            started = {"researching": Hub.now()} if change.stage == "researching" else {}
            records.change_campaign(tx, stage=change.stage, stage_reason=change.reason, **started)
            if change.stage == "done":
                purse.release_verification(tx, campaign)
    hub.wake.set()


def feed(hub: Hub, cursor: int) -> FeedPage:
    """Events after a cursor."""
    table = tables.feed
    with hub.db.read() as tx:
        rows = tx.execute(sa.select(table).where(table.c.cursor > cursor).order_by(table.c.cursor).limit(FEED_PAGE))
        events = tuple(FeedEvent.model_validate(row.event | {"cursor": row.cursor}) for row in rows)
    return FeedPage(events=events, cursor=events[-1].cursor if events else cursor)
