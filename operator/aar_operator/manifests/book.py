"""What a namespace spent on campaigns that are gone, by month: kept in the operator's namespace, where its users cannot write."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from aar_api import labels

from aar_operator.manifests.common import Manifest, obj
from aar_operator.settings import Settings


def marks(namespace: str) -> dict[str, str]:
    """Labels of a namespace's book."""
    return {labels.MANAGED_BY: labels.FIELD_MANAGER, labels.COMPONENT: "book", labels.BOOK: namespace}


def build(namespace: str, settings: Settings) -> Manifest:
    """An empty book."""
    return obj("v1", "ConfigMap", f"book.{namespace}", settings.operator_namespace, marks(namespace))


def entry(uid: str, months: Mapping[str, str], outdated: Iterable[str] = ()) -> Manifest:
    """The patch that enters what a campaign spent, US dollars by month, and strikes out entries: a ConfigMap takes 1 MiB."""
    return {"data": {**dict.fromkeys(outdated), uid: json.dumps(dict(months), sort_keys=True)}}


def outdated(book: Mapping[str, str], month: str) -> tuple[str, ...]:
    """UIDs of campaigns that spent nothing in that month or later."""
    return tuple(uid for uid, months in book.items() if max(json.loads(months), default="") < month)


def spent(book: Mapping[str, str], month: str, here: Collection[str]) -> list[str]:
    """US dollars of one month, one amount a campaign that is gone: those that are `here`, by UID, tell it themselves until they are."""
    return [json.loads(months).get(month, "0") for uid, months in book.items() if uid not in here]
