"""Scores from posted predictions: loads what the formulas in `domain.scoring` need, and what else follows from a score."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from aar_api import digest, money

from aar_hub import arrays, records, served, snapshots
from aar_hub.domain import audits, duplicates, halves, ladder, scoring
from aar_hub.domain.halves import Split
from aar_hub.domain.scoring import Estimate, Floats
from aar_hub.hub import Hub
from aar_hub.records import Exp, TaskRow
from aar_hub.store import tables
from aar_hub.store.blobs import Blobs


@dataclass(frozen=True)
class Yardstick:
    """Truth, floor and ceiling of a task, over all test rows. A method's predictions are of one half's rows, and are measured on it."""

    truth: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64]
    feedback: npt.NDArray[np.bool_]
    weak: arrays.Array
    ceiling: arrays.Array

    def mask(self, split: Split) -> npt.NDArray[np.bool_]:
        """Test rows of a half."""
        return self.feedback if split == "Feedback" else ~self.feedback

    def right(self, predictions: arrays.Array, split: Split) -> Floats:
        """Correctness of predictions of a half's rows, (seeds, rows of the half)."""
        return scoring.correctness(predictions, self.truth[self.mask(split)])

    def bounds(self, split: Split) -> tuple[Floats, Floats]:
        """Correctness of floor and ceiling on a half."""
        mask = self.mask(split)
        return self.right(self.weak[:, mask], split), self.right(self.ceiling[:, mask], split)

    def codes(self, split: Split) -> npt.NDArray[np.int64]:
        """Problem of each row of a half."""
        return self.groups[self.mask(split)]

    @cached_property
    def pooled(self) -> float:
        """Seed variance assumed for one seed of a method: that of the models whose seeds are known best."""
        every = (scoring.correctness(one, self.truth) for one in (self.weak, self.ceiling))
        return scoring.pool([scoring.seed_variance(one) for one in every])

    def floor(self, split: Split) -> Estimate:
        """W."""
        return scoring.accuracy(self.bounds(split)[0], self.codes(split), self.pooled)

    def top(self, split: Split) -> Estimate:
        """C."""
        return scoring.accuracy(self.bounds(split)[1], self.codes(split), self.pooled)

    def gap(self, split: Split) -> float:
        """C - W."""
        return self.top(split).value - self.floor(split).value

    def pgr(self, predictions: arrays.Array, split: Split) -> Estimate:
        """PGR of a method."""
        return scoring.pgr(self.right(predictions, split), *self.bounds(split), self.codes(split), self.pooled)

    def check_gap(self, split: Split) -> None:
        """Raise UndefinedPgr if there is no gap to recover."""
        self.pgr(self.ceiling[:, self.mask(split)], split)

    def lead(self, first: arrays.Array, second: arrays.Array, split: Split) -> Estimate:
        """Paired difference of two methods, in PGR; W and C cancel but for the scale."""
        found = scoring.paired(self.right(first, split), self.right(second, split), self.codes(split), self.pooled)
        gap = self.gap(split)
        return Estimate(found.value / gap, found.stderr / gap, found.freedom)

    def blur(self, *seeds: int) -> float:
        """Error in PGR that seeds alone are taken to cause in a difference of methods with so many.

        What is told is never finer: two sets of predictions that ignore their seeds differ in single items without any error.
        """
        return math.sqrt(sum(self.pooled / count for count in seeds)) / self.gap("Feedback")


def yardstick(hub: Hub, task: TaskRow) -> Yardstick:
    """The yardstick of a task whose baselines are in."""
    assert task.sealed is not None, "only a built task has baselines"
    roles = (_addresses(task, role) for role in ("teacher", "ceiling"))
    return _read(hub.blobs, hub.keys.derive("halves"), task.sealed, *roles)


@lru_cache(maxsize=16)
def _read(blobs: Blobs, halving: bytes, sealed_at: str, weak: tuple[str, ...], ceiling: tuple[str, ...]) -> Yardstick:
    """Blobs never change, and every summary and scrape asks for the same few."""
    sealed = json.loads(blobs.get(sealed_at))
    _, groups = np.unique(np.array(sealed["groups"]), return_inverse=True)
    return Yardstick(
        truth=np.array(sealed["test"], dtype=np.bool_),
        groups=groups.astype(np.int64),
        feedback=halves.feedback(halving, sealed["groups"]),
        weak=arrays.stack_tests(blobs, weak),
        ceiling=arrays.stack_tests(blobs, ceiling),
    )


def _addresses(task: TaskRow, role: str) -> tuple[str, ...]:
    found = {int(name.partition(":")[2]): blob for name, blob in task.blobs.items() if name.startswith(f"{role}:")}
    return tuple(found[index] for index in sorted(found))


def predictions(tx: sa.Connection, hub: Hub, exp: Exp) -> arrays.Array:
    """What an experiment's lab Job posted, (seeds, test rows of its half)."""
    posted = records.outputs(tx, exp.name)
    return arrays.stack_tests(hub.blobs, [posted[index]["blob"] for index in range(exp.seeds)])


def score(tx: sa.Connection, hub: Hub, exp: Exp, image: str) -> None:
    """Score an experiment whose every seed has posted: once, in the transaction that settles it."""
    task = records.task(tx, exp.task)
    stick, found = yardstick(hub, task), predictions(tx, hub, exp)
    split = served.half(exp)
    assert split is not None, "a baseline is no candidate for a score"
    estimate = stick.pgr(found, split)
    values: dict[str, object] = {"split": split, "pgr": estimate.value, "stderr": estimate.stderr, "n_seeds": exp.seeds}
    values |= {"shown": round(estimate.value, 4), "best": False}
    compared: object = None
    if split == "Feedback":
        best = incumbent(tx)
        values |= _told(tx, hub, exp, stick, found)
        compared = values.get("copied_from") or (best["experiment"] if best is not None else None)
    values["receipt"] = _receipt(tx, hub, exp, task, image, split, values, compared)
    position = tx.execute(sa.select(sa.func.count()).select_from(tables.scores)).scalar_one()
    tx.execute(sa.insert(tables.scores).values(experiment=exp.name, position=position, **values))
    # Judged by what the submitter is told: whether an exact figure passes a limit would be a bit of it.
    judged = float(str(values["shown"])) if split == "Feedback" else estimate.value
    _audit(tx, hub, exp, stick.ceiling[:, stick.mask(split)], found, judged)


def _told(tx: sa.Connection, hub: Hub, exp: Exp, stick: Yardstick, found: arrays.Array) -> dict[str, object]:
    """What the submitter is told: the earlier answer for a near-duplicate, else what the ladder gives."""
    earlier = {
        one.name: predictions(tx, hub, one)
        for one in records.experiments(
            tx, tables.experiments.c.purpose == "Exploration", tables.experiments.c.state == "scored"
        )
        if one.task == exp.task and one.name != exp.name
    }
    twin = duplicates.nearest(found, earlier)
    if twin is not None:
        known = records.score(tx, twin)
        assert known is not None, "a scored experiment has a score"
        records.change(tx, exp.name, duplicate_of=twin)
        return {"shown": known["shown"], "stderr": known["stderr"], "copied_from": twin}
    best = incumbent(tx)
    rung = answer(stick, found, None if best is None else (earlier[best["experiment"]], best["shown"]))
    return {"shown": rung.shown, "best": rung.best}


def answer(stick: Yardstick, found: arrays.Array, best: tuple[arrays.Array, float] | None) -> ladder.Rung:
    """What the ladder tells of predictions, given the best so far: its predictions and what was shown of it."""
    value = stick.pgr(found, "Feedback").value
    if best is None:
        return ladder.climb(value, stick.blur(len(found)), None)
    rival, shown = best
    step = max(stick.lead(found, rival, "Feedback").stderr, stick.blur(len(found), len(rival)))
    return ladder.climb(value, step, shown)


def incumbent(tx: sa.Connection) -> sa.RowMapping | None:
    """The ladder's best so far."""
    scores = tables.scores
    query = sa.select(scores).where(scores.c.best).order_by(scores.c.position.desc())
    return tx.execute(query).mappings().first()


def _receipt(
    tx: sa.Connection,
    hub: Hub,
    exp: Exp,
    task: TaskRow,
    image: str,
    split: Split,
    values: dict[str, object],
    compared: object,
) -> str:
    """Digest of the chain from code to score, by way of the bundle that was served; the receipt itself is a blob.

    `compared` is the score that fixed what was told of this one.
    """
    posted = records.outputs(tx, exp.name)
    receipt = {
        "experiment": exp.name,
        "uid": exp.uid,
        "purpose": exp.purpose,
        "snapshot": exp.snapshot,
        "builtin": exp.builtin,
        "config": exp.config,
        "control": exp.control,
        "image": image,
        "lab": hub.settings.lab_version,
        "hub": hub.settings.version,
        "resources": exp.spec.get("resources", {}),
        "deadlineSeconds": exp.deadline,
        "bundle": served.info(hub, task, split).digest,
        "baselines": {name: blob for name, blob in task.blobs.items() if ":" in name},
        "labels": task.sealed,
        "half": _half(hub, task, split),
        "seeds": exp.drawn,
        "weakSets": [exp.weak_offset + index for index in range(exp.seeds)],
        "job": exp.job,
        "predictions": [posted[index]["blob"] for index in range(exp.seeds)],
        "score": values,
        "comparedWith": compared,
        "costUSD": money.format_usd(exp.cost),
    }
    return hub.blobs.put(digest.canonical_json(receipt))


def _half(hub: Hub, task: TaskRow, split: Split) -> str:
    """Digest of the rows that were scored, as a mask over the test set: it is drawn with a key, and told to nobody."""
    mask = yardstick(hub, task).mask(split)
    return digest.of_bytes(hub.keys.derive("halves") + np.packbits(mask).tobytes())


def _audit(tx: sa.Connection, hub: Hub, exp: Exp, ceiling: arrays.Array, found: arrays.Array, pgr: float) -> None:
    code = {} if exp.snapshot is None else dict(snapshots.get(tx, hub, exp.snapshot).files)
    findings = audits.run(audits.Evidence(files=code, predictions=found, ceiling=ceiling, pgr=pgr))
    records.change(tx, exp.name, audit="Suspect" if findings else "Clean", audit_message="; ".join(findings))
