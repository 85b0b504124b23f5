"""Embeddings of every text by the frozen strong and weak encoders, once a task."""

from __future__ import annotations

from aar_api.files import Assignment

from aar_lab.bundle import Bundle
from aar_lab.encode import encoder
from aar_lab.outputs import Array


def produce(bundle: Bundle, assignment: Assignment) -> dict[str, Array]:
    """Arrays `<encoder>_<split>_<field>`; labelled rows are for the weak encoder alone."""
    found: dict[str, Array] = {}
    plans = (
        ("strong", bundle.info.strong, ("train", "test")),
        ("weak", bundle.info.weak, ("train", "test", "labelled")),
    )
    for name, ref, splits in plans:
        encode = encoder(ref, bundle.info.max_tokens)
        texts = [text for split in splits for row in bundle.rows(split) for text in (row.question, row.choice)]
        embedded, at = encode(texts), 0
        for split in splits:
            rows = 2 * len(bundle.rows(split))
            both = embedded[at : at + rows]
            found[f"{name}_{split}_question"], found[f"{name}_{split}_choice"] = both[::2], both[1::2]
            at += rows
    return found
