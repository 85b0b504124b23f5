"""The ledger's rows: every reservation and every payment, once each by its key, in the transaction that checked it."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from aar_api import money
from aar_api.campaign import Spend

from aar_hub.domain.ledger import UNLIMITED, Balance, Pot, within
from aar_hub.errors import Refused
from aar_hub.hub import Hub
from aar_hub.records import Campaign
from aar_hub.store import tables
from aar_hub.store.prepared import Prepared

VERIFICATION = "verification"
EXPERIMENT = "experiment"
LLM = "llm"
GPU = "gpu"
"""Account of what GPUs cost; and the entry that says which part of a reservation is for them. Such rows are in no sum of money."""
OPEN = "open"
"""Outcome of an LLM call that is under way."""


_TOTALS = tables.ledger_totals
_ADD = Prepared(
    sa.update(_TOTALS)
    .where(_TOTALS.c.entry == sa.bindparam("of_entry"), _TOTALS.c.account == sa.bindparam("of_account"))
    .values(micros=_TOTALS.c.micros + sa.bindparam("more"))
)


def balance(tx: sa.Connection, campaign: Campaign) -> Balance:
    """The purse as this transaction sees it."""
    sums = _sums(tx)
    held = {account: micros for (entry, account), micros in sums.items() if entry == "reserve"}
    spent = sum(micros for (entry, _), micros in sums.items() if entry == "settle")
    return Balance(
        limit=money.parse_usd(campaign.spec.budget.limit_usd),
        spent=spent,
        reserved=sum(held.values()),
        verification=held.get(VERIFICATION, 0),
        llm_spent=sums.get(("settle", LLM), 0),
        llm_reserved=held[LLM],
        gpu=_gpu(campaign, sums),
    )


def _gpu(campaign: Campaign, sums: Mapping[tuple[str, str], int]) -> Pot:
    limit = campaign.spec.budget.gpu_limit_usd
    if limit is None:
        return UNLIMITED
    held = {account: micros for (entry, account), micros in sums.items() if entry == GPU}
    return Pot(money.parse_usd(limit), sums.get(("settle", GPU), 0), sum(held.values()), held.get(VERIFICATION, 0))


def spend(tx: sa.Connection) -> Spend:
    """The purse for a person."""
    sums = _sums(tx)
    paid = {account: micros for (entry, account), micros in sums.items() if entry == "settle"}
    return Spend(
        total_usd=money.format_usd(sum(paid.values())),
        reserved_usd=money.format_usd(sum(micros for (entry, _), micros in sums.items() if entry == "reserve")),
        llm_usd=money.format_usd(paid.get(LLM, 0)),
        gpu_usd=money.format_usd(paid.get("gpu", 0)),
        cpu_usd=money.format_usd(paid.get("cpu", 0)),
    )


def _sums(tx: sa.Connection) -> dict[tuple[str, str], int]:
    """The ledger by entry and account, and what LLM calls hold that are under way: their rows hold it, not the ledger's."""
    table, calls = tables.ledger_totals, tables.llm_calls.c
    sums = {(entry, account): int(micros) for entry, account, micros in tx.execute(sa.select(table))}
    held = tx.execute(sa.select(sa.func.coalesce(sa.func.sum(calls.reserved), 0)).where(calls.outcome == OPEN))
    return sums | {("reserve", LLM): int(held.scalar_one())}


def write(tx: sa.Connection, key: str, entry: str, account: str, micros: int, experiment: str | None = None) -> None:
    """Add a row, unless its key is there already. A release is a negative reservation."""
    known = tx.execute(sa.select(tables.ledger.c.id).where(tables.ledger.c.key == key)).first()
    if known is None and micros != 0:
        values = {
            "key": key,
            "entry": entry,
            "account": account,
            "experiment": experiment,
            "micros": micros,
            "created": Hub.now(),
        }
        tx.execute(sa.insert(tables.ledger).values(values))
        add_total(tx, entry, account, micros)


def add_total(tx: sa.Connection, entry: str, account: str, micros: int) -> None:
    """Add to a sum of the ledger; whoever inserts rows does it in the same transaction."""
    if _ADD.run(tx, [{"of_entry": entry, "of_account": account, "more": micros}]) == 0:
        tx.execute(sa.insert(tables.ledger_totals).values(entry=entry, account=account, micros=micros))


def _fits(others: int, amount: int, needed_beside: int, limit: int) -> bool:
    """Whether a limit holds verification beside what else there is; at the start, beside the first thing to run too."""
    return others + amount <= limit and (others != 0 or amount + needed_beside <= limit)


def _no_room(told: str, of: str, limit: str, others: int, amount: int, needed_beside: int) -> Refused:
    return Refused(
        "BudgetExceeded",
        f"{told}, but verification needs up to {money.format_usd(amount)}{of}, what else is spent or running {money.format_usd(others)} and the "
        f"dearest baseline {money.format_usd(needed_beside)} USD: raise {limit} to {money.format_usd(others + amount + needed_beside)}, or lower "
        "experiments.activeDeadlineSeconds, replication.topK or its seeds.",
    )


def hold_verification(tx: sa.Connection, campaign: Campaign, amount: int, needed_beside: int) -> None:
    """Hold the worst case of verification, or change what is held to a new one.

    Raises:
        Refused: the budget cannot hold it and the start of research.
    """
    now = balance(tx, campaign)
    others = now.spent + now.reserved - now.verification
    if not _fits(others, amount, needed_beside, now.limit):
        raise _no_room(
            f"budget.limitUSD is {campaign.spec.budget.limit_usd}", "", "the limit", others, amount, needed_beside
        )
    change = amount - now.verification
    count = tx.execute(sa.select(sa.func.count()).select_from(tables.ledger)).scalar_one()
    write(tx, f"verification:{count}", "reserve", VERIFICATION, change)


def hold_verification_gpu(tx: sa.Connection, campaign: Campaign, amount: int, needed_beside: int) -> None:
    """Note the part of verification's worst case that is for GPUs.

    Raises:
        Refused: budget.gpuLimitUSD cannot hold it and the start of research.
    """
    pot = balance(tx, campaign).gpu
    others = pot.spent + pot.reserved - pot.verification
    if not _fits(others, amount, needed_beside, pot.limit):
        told = f"budget.gpuLimitUSD is {campaign.spec.budget.gpu_limit_usd}"
        raise _no_room(told, " for GPUs", "that limit", others, amount, needed_beside)
    count = tx.execute(sa.select(sa.func.count()).select_from(tables.ledger)).scalar_one()
    write(tx, f"gpu:verification:{count}", GPU, VERIFICATION, amount - _verification_gpu(tx))


def _verification_gpu(tx: sa.Connection) -> int:
    """The part for GPUs of what verification holds."""
    return _sums(tx).get((GPU, VERIFICATION), 0)


def release_verification(tx: sa.Connection, campaign: Campaign) -> None:
    """Give back what verification did not need."""
    write(tx, "verification:end", "reserve", VERIFICATION, -balance(tx, campaign).verification)
    write(tx, "gpu:verification:end", GPU, VERIFICATION, -_verification_gpu(tx))


def reserve(tx: sa.Connection, experiment: str, amount: int, from_verification: int, gpu: int = 0) -> None:
    """Hold an amount, so much of it for GPUs, for an experiment, part of it taken from what verification holds; the caller has decided in this transaction that it fits."""
    write(tx, f"draw:{experiment}", "reserve", VERIFICATION, -from_verification, experiment)
    write(tx, f"reserve:{experiment}", "reserve", EXPERIMENT, amount, experiment)
    drawn = gpu_from_verification(tx, gpu) if from_verification else 0
    write(tx, f"gpu:draw:{experiment}", GPU, VERIFICATION, -drawn, experiment)
    write(tx, f"gpu:reserve:{experiment}", GPU, EXPERIMENT, gpu, experiment)


def gpu_from_verification(tx: sa.Connection, gpu: int) -> int:
    """How much of an amount for GPUs verification holds."""
    return min(gpu, _verification_gpu(tx))


def settle(tx: sa.Connection, experiment: str, held: int, cpu: int, gpu: int, *, to_verification: bool) -> int:
    """Release what an experiment held and pay what it used, as far as that was held; what verification saved is verification's again.
    What was paid.
    """
    write(tx, f"release:{experiment}", "reserve", EXPERIMENT, -held, experiment)
    noted = sa.select(tables.ledger.c.micros).where(tables.ledger.c.key == f"gpu:reserve:{experiment}")
    note = tx.execute(noted).scalar_one_or_none()
    for_gpus = int(note or 0)
    cpu, gpu = within(cpu, gpu, held, held if note is None else for_gpus)
    write(tx, f"gpu:release:{experiment}", GPU, EXPERIMENT, -for_gpus, experiment)
    write(tx, f"settle:{experiment}:cpu", "settle", "cpu", cpu, experiment)
    write(tx, f"settle:{experiment}:gpu", "settle", "gpu", gpu, experiment)
    if to_verification:
        write(tx, f"saved:{experiment}", "reserve", VERIFICATION, max(0, held - cpu - gpu), experiment)
        write(tx, f"gpu:saved:{experiment}", GPU, VERIFICATION, max(0, for_gpus - gpu), experiment)
    return cpu + gpu
