"""Which reply belongs to which message: people chatting in English."""

from __future__ import annotations

import json
from collections.abc import Iterator

from aar_hub.tasks import _matching, _pairs, _sources
from aar_hub.tasks._task import Items, Params, Spec

SPEC = Spec(
    summary="Is this the reply that a person wrote to this message?",
    licence="MIT",
    package="chitchat-dataset==0.9.0",
    pairing="pair",
    defaults={
        "n_labelled": 300,
        "n_train": 1300,
        "n_test": 1500,
        "negatives": "hard",
        "weak_layers": 1,
        # The last layer was trained for similarity: with it a cosine alone reaches the ceiling (docs/tasks.md).
        "strong_layers": 5,
        "max_tokens": 64,
    },
)
LENGTHS = range(20, 161)
"""Characters of a message: shorter ones ("ok", "hello") fit anywhere, longer ones cost time to encode."""

CANDIDATES = 12
"""Items looked at for a hard negative; with all of them the weak teacher is at chance."""


def build(params: Params) -> Items:
    """Draw the splits; a group is a conversation."""
    match = _pairs.matcher(params, CANDIDATES)
    return _pairs.split("chat", _pairs.unique(_exchanges()), params, match)


def _exchanges() -> Iterator[_matching.Source]:
    path = _sources.folder("chitchat_dataset", SPEC.package) / "dataset.json"
    for name, conversation in json.loads(path.read_text(encoding="utf-8")).items():
        turns = [_sources.one_line(" ".join(part["text"] for part in turn)) for turn in conversation["messages"]]
        # Every second step, so that no turn is a reply here and a message there.
        for message, reply in zip(turns[::2], turns[1::2], strict=False):
            if len(message) in LENGTHS and len(reply) in LENGTHS:
                yield _matching.Source(name, message, reply)
