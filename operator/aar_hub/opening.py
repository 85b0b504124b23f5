"""Opening a campaign: everything that can be refused is refused here, before anything costs money."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from aar_api import digest
from aar_api.campaign import CampaignSpec, TaskRef
from aar_api.conditions import Reason
from aar_api.errors import InvalidInput
from aar_api.wire import CampaignOpening

from aar_hub import purse, records, tasks
from aar_hub.domain import ledger
from aar_hub.errors import Refused
from aar_hub.gateway import prices
from aar_hub.hub import Hub
from aar_hub.store import tables


def open_campaign(hub: Hub, opening: CampaignOpening) -> None:
    """Take a campaign, or its changed spec; the same one again changes nothing, though prices have risen since.

    Raises:
        Refused: with a condition reason; what was taken before stays in force.
    """
    if _taken(hub, opening):
        return
    keys = [task_key(ref) for ref in task_refs(opening.spec)]
    _check_model(opening.spec.researchers.model)
    with hub.db.write() as tx:
        known = records.find_campaign(tx)
        if known is None:
            _first(tx, opening)
        else:
            _again(tx, known, opening)
        found = records.campaign(tx)
        if found.stage in ("preparing", "researching"):
            reserve = ledger.verification_reserve(opening.spec, hub.prices)
            purse.hold_verification(tx, found, reserve, ledger.smallest_start(opening.spec, hub.prices))
            limits = opening.spec.experiments
            runs = ledger.verification_runs(opening.spec), ledger.start_seeds(opening.spec)
            gpus = [ledger.worst_gpu(n, limits.active_deadline_seconds, limits.resources, hub.prices) for n in runs]
            purse.hold_verification_gpu(tx, found, *gpus)
            _add_tasks(tx, opening.spec, keys)
    hub.wake.set()


def in_force(hub: Hub) -> CampaignOpening:
    """The campaign as it was taken last.

    Raises:
        Conflict: none has been opened yet.
    """
    with hub.db.read() as tx:
        known = records.campaign(tx)
    return CampaignOpening(name=known.name, namespace=known.namespace, uid=known.uid, spec=known.spec)


def _taken(hub: Hub, opening: CampaignOpening) -> bool:
    """Whether the campaign was taken with this spec before; whether it is suspended needs no check, and is written down."""
    with hub.db.write() as tx:
        known = records.find_campaign(tx)
        if known is None or known.uid != opening.uid or _but_for_suspend(known.spec) != _but_for_suspend(opening.spec):
            return False
        records.change_campaign(tx, spec=opening.spec.dump())
    if known.spec.suspend and not opening.spec.suspend:
        hub.provider.answers()  # nobody has called it meanwhile
    hub.wake.set()
    return True


def _but_for_suspend(spec: CampaignSpec) -> CampaignSpec:
    return spec.model_copy(update={"suspend": False})


def task_refs(spec: CampaignSpec) -> list[TaskRef]:
    """The campaign's task, then its transfer tasks."""
    return [spec.task, *spec.evaluation.transfer_tasks]


def task_key(ref: TaskRef) -> str:
    """Digest of a task with its parameters settled.

    Raises:
        Refused: there is no such task, or a parameter breaks a rule.
    """
    try:
        task = tasks.resolve(ref.name, ref.params)
    except InvalidInput as error:
        raise Refused("InvalidTask", str(error)) from error
    return digest.of_json([task.name, task.params.dump()])


def _check_model(model: str | None) -> None:
    if model is not None:
        try:
            prices.rates(model, datetime.now(UTC))
        except prices.UnknownModel as error:
            raise Refused(Reason.UNKNOWN_MODEL, f"researchers.model: {error}") from error


def _first(tx: sa.Connection, opening: CampaignOpening) -> None:
    values = {
        "id": 1,
        "name": opening.name,
        "namespace": opening.namespace,
        "uid": opening.uid,
        "spec": opening.spec.dump(),
        "stage": "preparing",
        "opened": Hub.now(),
    }
    tx.execute(sa.insert(tables.campaigns).values(values))


def _again(tx: sa.Connection, known: records.Campaign, opening: CampaignOpening) -> None:
    if known.uid != opening.uid:
        raise Refused(
            "InvalidSpec",
            f"This hub holds campaign {known.name!r} with UID {known.uid}, not {opening.uid}: a campaign made again gets a hub of its own.",
        )
    for name in ("task", "objective"):
        if getattr(known.spec, name) != getattr(opening.spec, name):
            raise Refused("InvalidSpec", f"spec.{name} was changed, but it is immutable: make another campaign.")
    if ledger.weak_sets(known.spec) != ledger.weak_sets(opening.spec):
        raise Refused(
            "InvalidSpec",
            f"experiments.seeds plus replication.seeds was {ledger.weak_sets(known.spec)} and is now "
            f"{ledger.weak_sets(opening.spec)}, but weak labels are made once: put them back, or make another campaign.",
        )
    if opening.spec.experiments.seeds < known.spec.experiments.seeds:
        raise Refused(
            "InvalidSpec",
            f"experiments.seeds was {known.spec.experiments.seeds} and is now {opening.spec.experiments.seeds}, but verification would get "
            "weak labels that exploration may have seen: put it back, or make another campaign.",
        )
    records.change_campaign(tx, spec=opening.spec.dump())


def _add_tasks(tx: sa.Connection, spec: CampaignSpec, keys: list[str]) -> None:
    present = {row.key for row in records.all_tasks(tx)}
    for position, (ref, key) in enumerate(zip(task_refs(spec), keys, strict=True)):
        if key not in present:
            present.add(key)
            values = {"key": key, "ref": ref.dump(), "main": position == 0, "blobs": {}}
            tx.execute(sa.insert(tables.tasks).values(values))
