"""From a task's name to a bundle and sealed labels. No model is run here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import sqlalchemy as sa
from aar_api import digest, files
from aar_api.errors import InvalidInput
from aar_api.files import BundleInfo, Row

from aar_hub import arrays, purse, records, served, tasks
from aar_hub.domain import rows
from aar_hub.hub import Hub
from aar_hub.records import TaskRow
from aar_hub.store import tables
from aar_hub.tasks import Item, Task


def build_missing(hub: Hub) -> None:
    """Build every task of the campaign that is not built yet; the campaign's own must be, or it ends before it costs anything."""
    with hub.db.read() as tx:
        missing = [row for row in records.all_tasks(tx) if not row.built and not row.failed]
    for row in missing:
        values = _build(hub, row)
        with hub.db.write() as tx:
            tx.execute(sa.update(tables.tasks).where(tables.tasks.c.key == row.key).values(**values))
            if values.get("failed") and row.main:
                records.change_campaign(tx, failed=values["failed"])
                purse.release_verification(tx, records.campaign(tx))


def _build(hub: Hub, row: TaskRow) -> Mapping[str, object]:
    try:
        task = tasks.resolve(row.ref.name, row.ref.params)
        items = task.build()
    except InvalidInput as error:
        return {"failed": str(error)}
    splits = {"train": items.train, "test": items.test, "labelled": items.labelled}
    key = rows.data_digest([[(item.question, item.choice) for item in split] for split in splits.values()])
    ordered = {name: _ordered(key, name, split) for name, split in splits.items()}
    public = {name: _lines(ordered[name], labels=False) for name in files.SPLITS}
    sealed = hub.blobs.put(_sealed(ordered))
    blobs = {name: hub.blobs.put(data) for name, data in public.items()}
    blobs["labelled"] = hub.blobs.put(_lines(ordered["labelled"], labels=True))
    labels = np.array([item.label for _, item in ordered["train"]], dtype=np.bool_)
    blobs["train_labels"] = hub.blobs.put(arrays.pack_one(labels))
    blobs["n_labelled"] = str(len(items.labelled))
    info = _info(task, blobs, items)
    blobs |= served.of_rows(hub, info, blobs["test"], [item.group for _, item in ordered["test"]])
    return {"built": True, "info": info.dump(), "sealed": sealed, "blobs": blobs}


def _ordered(key: str, split: str, items: Sequence[Item]) -> list[tuple[str, Item]]:
    texts = [(item.question, item.choice) for item in items]
    return [(name, items[position]) for position, name in rows.shuffled(key, split, texts)]


def _lines(items: list[tuple[str, Item]], *, labels: bool) -> bytes:
    found = (
        Row(id=name, question=item.question, choice=item.choice, label=item.label if labels else None)
        for name, item in items
    )
    return b"".join(json.dumps(row.dump(), ensure_ascii=False).encode("utf-8", "replace") + b"\n" for row in found)


def _sealed(ordered: Mapping[str, list[tuple[str, Item]]]) -> bytes:
    test = ordered["test"]
    return digest.canonical_json(
        {
            "test": [int(item.label) for _, item in test],
            "groups": [item.group for _, item in test],
            "train": [int(item.label) for _, item in ordered["train"]],
            "labelled": [int(item.label) for _, item in ordered["labelled"]],
        }
    )


def _info(task: Task, blobs: Mapping[str, str], items: tasks.Items) -> BundleInfo:
    known = {
        "task": task.name,
        "pairing": task.pairing,
        "head": task.head,
        "strong": task.strong.dump(),
        "weak": task.weak.dump(),
        "optimiser": task.optimiser.dump(),
        "max_tokens": task.max_tokens,
        "n_train": len(items.train),
        "n_test": len(items.test),
    }
    return BundleInfo.model_validate(known | {"digest": digest.of_json([known, blobs["train"], blobs["test"]])})
