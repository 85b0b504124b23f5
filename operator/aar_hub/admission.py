"""Every Experiment passes here, however it came: checked, paid for in advance, given seeds and tokens."""

from __future__ import annotations

import sqlalchemy as sa
from aar_api import money
from aar_api.experiment import ExperimentSpec, SubmittedBy
from aar_api.wire import AdmissionAnswer, AdmissionRequest

from aar_hub import auth, catalogue, purse, records, requests, snapshots, submissions
from aar_hub.domain import ledger, seeds
from aar_hub.errors import Conflict, Refused
from aar_hub.hub import Hub
from aar_hub.records import UNSETTLED, VERIFYING, Campaign, Exp, TaskRow

TURN = {"Baseline": 0, "Exploration": 1, "Smoke": 1, "Replication": 2, "Control": 2, "Transfer": 2}
STAGES = ("preparing", "researching", "verifying", "done")
FREE = ("submittedBy", "desiredState", "hypothesis")
"""Fields of an Experiment that change nothing of what runs."""
OWNER_PART = "verify"
"""Where a person's own experiments run: as isolated as a researcher's, and not in one's sandbox."""


def admit(hub: Hub, name: str, asked: AdmissionRequest) -> AdmissionAnswer:
    """Decide about an experiment; what was admitted once is admitted again with the same seeds and tokens."""
    with hub.db.write() as tx:
        campaign = records.campaign(tx)
        exp = records.find_experiment(tx, name)
        if exp is not None and exp.state == "admitted" and exp.uid != asked.uid:
            hub.wake.set()
            return _replaced(tx, exp, asked.uid)
        try:
            if exp is None:
                exp = _take_up(tx, hub, campaign, name, asked.spec)
            elif exp.state in UNSETTLED:
                _check_unchanged(tx, hub, campaign, exp, asked.spec)
                if exp.state != "admitted":
                    _check_stage(campaign, exp, records.task(tx, exp.task))
            if exp.state in ("submitted", "waiting"):
                waits = _reserve(tx, hub, campaign, exp, asked)
                if waits is not None:
                    return waits
                exp = records.experiment(tx, name)
        except (Refused, Conflict) as refusal:
            _refuse(tx, name, refusal)
            hub.wake.set()
            return AdmissionAnswer(verdict="refused", reason=refusal.reason, message=str(refusal))
        return _answer(hub, campaign, exp)


def _take_up(tx: sa.Connection, hub: Hub, campaign: Campaign, name: str, spec: ExperimentSpec) -> Exp:
    """An Experiment that a person applied: it becomes a submission of the owner's."""
    task = records.all_tasks(tx)[0]
    if spec.purpose not in ("Exploration", "Smoke"):
        raise Refused("InvalidSpec", f"purpose is {spec.purpose}, which is the hub's to set: use Exploration or Smoke.")
    if spec.task is not None and spec.task != task.ref:
        raise Refused(
            "InvalidTask",
            f"task is {spec.task.name!r}, but this campaign explores {task.ref.name!r}: leave spec.task out.",
        )
    if spec.control is not None or spec.replicates is not None:
        raise Refused("InvalidSpec", "control and replicates are the hub's to set: leave them out.")
    settled = _settled(tx, hub, campaign, name, spec)
    if campaign.stage in ("verifying", "done"):
        raise Conflict(
            "CampaignFinished", f"Research has ended (stage {campaign.stage}): nothing more can be submitted."
        )
    submissions.check(tx, hub, campaign, settled, task.key)
    requests.insert(tx, name, settled, task, OWNER_PART, label=spec.method.builtin or name)
    return records.experiment(tx, name)


def _settled(tx: sa.Connection, hub: Hub, campaign: Campaign, name: str, spec: ExperimentSpec) -> ExperimentSpec:
    """A person's Experiment with everything written out as it will run."""
    own = {
        "submitted_by": SubmittedBy(researcher=requests.OWNER, key=name),
        "active_deadline_seconds": spec.active_deadline_seconds or campaign.spec.experiments.active_deadline_seconds,
        "method": _stored_method(tx, hub, spec),
        "task": None if spec.task == records.all_tasks(tx)[0].ref else spec.task,
    }
    return spec.model_copy(update=own)


def _stored_method(tx: sa.Connection, hub: Hub, spec: ExperimentSpec) -> object:
    method = spec.method
    if method.inline is not None:
        address = snapshots.put_inline(tx, hub, method.inline, requests.OWNER)
        return method.model_copy(update={"inline": None, "snapshot": address})
    if method.snapshot is not None and not snapshots.exists(tx, method.snapshot):
        raise Refused(
            "SnapshotMissing", f"The hub holds no snapshot {method.snapshot}: upload it, or give the code inline."
        )
    if method.builtin is not None:
        card = catalogue.find(tx, method.builtin)
        known = ", ".join(one.name for one in catalogue.cards(tx)) or "none yet, baselines are still being made"
        if card is None:
            raise Refused("InvalidMethod", f"No method is named {method.builtin!r}. Known: {known}.")
        unknown = sorted(set(method.config) - set(card.space))
        if unknown:
            raise Refused(
                "InvalidMethod",
                f"Method {method.builtin!r} has no parameter {', '.join(map(repr, unknown))}. Known: {', '.join(card.space) or 'none'}.",
            )
    if method.config_map is not None:
        raise Refused("InvalidMethod", "method.configMap was not replaced by its content: give the code inline.")
    return method


def _check_unchanged(tx: sa.Connection, hub: Hub, campaign: Campaign, exp: Exp, spec: ExperimentSpec) -> None:
    """What was submitted, digested and priced is what runs; only whether it is wanted may change."""
    if exp.researcher == requests.OWNER:
        spec = _settled(tx, hub, campaign, exp.name, spec)
    given, known = spec.dump(), exp.spec
    changed = sorted(
        name for name in given.keys() | known.keys() if name not in FREE and given.get(name) != known.get(name)
    )
    if changed:
        raise Refused(
            "InvalidSpec",
            f"spec.{', spec.'.join(changed)} of {exp.name} differs from what was submitted: submit a new experiment instead.",
        )


def _check_stage(campaign: Campaign, exp: Exp, task: TaskRow) -> None:
    if STAGES.index(campaign.stage) > TURN[exp.purpose] and (exp.purpose != "Baseline" or task.main):
        raise Conflict(
            "CampaignFinished", f"The campaign is at stage {campaign.stage}, and {exp.purpose} experiments are over."
        )


def _reserve(
    tx: sa.Connection, hub: Hub, campaign: Campaign, exp: Exp, asked: AdmissionRequest
) -> AdmissionAnswer | None:
    """Hold the money and draw the seeds; or the answer that it has to wait.

    Raises:
        Refused: it can never be paid.
    """
    if campaign.spec.suspend or STAGES.index(campaign.stage) < TURN[exp.purpose]:
        return _wait(
            tx,
            exp,
            f"The campaign is {'suspended' if campaign.spec.suspend else campaign.stage}: it waits for its turn.",
        )
    spec = ExperimentSpec.model_validate(exp.spec)
    amount = ledger.worst_case(exp.seeds, exp.deadline, spec.resources, hub.prices, asked.max_attempts)
    balance = purse.balance(tx, campaign)
    drawn = min(amount, balance.verification) if campaign.stage == "verifying" else 0
    gpu = ledger.worst_gpu(exp.seeds, exp.deadline, spec.resources, hub.prices, asked.max_attempts)
    gpu_drawn = purse.gpu_from_verification(tx, gpu) if drawn else 0
    for_gpus = balance.gpu.decide(gpu - gpu_drawn) if gpu > gpu_drawn else "yes"
    if for_gpus == "no":
        raise Refused(
            "BudgetExceeded",
            f"The experiment's GPUs may cost {money.format_usd(gpu)} USD, but of budget.gpuLimitUSD, {campaign.spec.budget.gpu_limit_usd} USD, only "
            f"{money.format_usd(max(0, balance.gpu.free + gpu_drawn))} are free: raise it, or lower seeds or activeDeadlineSeconds.",
        )
    # What verification holds in full is there, even if calls under way have cost more than was left beside it.
    verdict = balance.decide(amount - drawn) if amount > drawn else "yes"
    if verdict == "wait":
        return _wait(tx, exp, f"{money.format_usd(amount)} USD have to be free; running experiments hold them.")
    if verdict == "yes" and for_gpus == "wait":
        return _wait(
            tx,
            exp,
            f"{money.format_usd(gpu)} USD of budget.gpuLimitUSD have to be free; running experiments hold them.",
        )
    if verdict == "no":
        raise Refused(
            "BudgetExceeded",
            f"The experiment may cost {money.format_usd(amount)} USD, but of {campaign.spec.budget.limit_usd} USD only "
            f"{money.format_usd(max(0, balance.free + drawn))} are free: raise budget.limitUSD, or lower seeds or activeDeadlineSeconds.",
        )
    purse.reserve(tx, exp.name, amount, drawn, gpu)
    fixed = exp.content if exp.researcher != requests.HUB else exp.name
    numbers = seeds.draw(hub.keys.derive("seeds"), f"{exp.name}\0{fixed}", exp.seeds)
    records.change(
        tx, exp.name, state="admitted", uid=asked.uid, reserved=amount, drawn=list(numbers), reason="", message=""
    )
    return None


def _wait(tx: sa.Connection, exp: Exp, message: str) -> AdmissionAnswer:
    records.change(tx, exp.name, state="waiting", reason="WaitingForBudget", message=message)
    return AdmissionAnswer(verdict="wait", reason="WaitingForBudget", message=message)


def _refuse(tx: sa.Connection, name: str, refusal: Refused | Conflict) -> None:
    exp = records.find_experiment(tx, name)
    if exp is not None:
        if exp.state == "admitted":  # its Job would not be the one that was paid for: what is held is free again
            purse.settle(tx, name, exp.reserved, 0, 0, to_verification=verifies(exp, records.task(tx, exp.task)))
        records.change(tx, name, state="refused", reason=refusal.reason, message=str(refusal), ended=Hub.now())


def _replaced(tx: sa.Connection, exp: Exp, uid: str) -> AdmissionAnswer:
    """Another object has the name of a run, whose own was forced away: its receipt would name one and its Job belong to the other.

    The run ends; nobody will tell how long it was at work, so all that was held for it is paid.
    """
    gpus = ExperimentSpec.model_validate(exp.spec).resources.gpus
    most = exp.reserved  # no more than was held for GPUs is paid for them, and the rest for cores
    back = verifies(exp, records.task(tx, exp.task))
    paid = purse.settle(tx, exp.name, exp.reserved, most, most if gpus else 0, to_verification=back)
    told = "Its object was replaced by another of the same name: it ended, and all that was held for it is paid."
    records.change(tx, exp.name, state="cancelled", reason="Cancelled", message=told, cost=paid, ended=Hub.now())
    message = f"{exp.name} was admitted as the object with UID {exp.uid}, and this one has UID {uid}: apply it under another name."
    return AdmissionAnswer(verdict="refused", reason="Duplicate", message=message)


def _answer(hub: Hub, campaign: Campaign, exp: Exp) -> AdmissionAnswer:
    if exp.state != "admitted":
        message = exp.message or f"Experiment {exp.name} is {exp.state} already: make a new one under another name."
        return AdmissionAnswer(verdict="refused", reason=exp.reason or "Duplicate", message=message)
    baseline = exp.purpose == "Baseline"
    fetch, post = ("baseline", "baseline") if baseline else ("lab-fetch", "lab-post")
    return AdmissionAnswer(
        verdict="admitted",
        seeds=tuple(exp.drawn),
        fetch_token=auth.issue(hub, campaign.uid, fetch, exp.name),
        post_token=auth.issue(hub, campaign.uid, post, exp.name),
        reserved_usd=money.format_usd(exp.reserved),
        baseline=baseline,
        part=exp.part,
    )


def verifies(exp: Exp, task: TaskRow) -> bool:
    """Whether verification pays for it."""
    return exp.purpose in VERIFYING or (exp.purpose == "Baseline" and not task.main)
