"""What a namespace spent on campaigns that are gone, by month: kept in the operator's namespace, where its users cannot write."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from aar_api import labels

from aar_operator.manifests.common import Manifest, obj
from aar_operator.settings import Settings


def marks(namespace: str) -> dict[str, str]:
    """Labels of a namespace's book."""
    return {labels.MANAGED_BY: labels.FIELD_MANAGER, labels.COMPONENT: "book", labels.BOOK: namespace}


def build(namespace: str, settings: Settings) -> Manifest:
    """An empty book."""
    return obj("v1", "ConfigMap", f"book.{namespace}", settings.operator_namespace, marks(namespace))


def entry(uid: str, months: Mapping[str, str]) -> Manifest:
    """The patch that enters what a campaign spent, US dollars by month."""
    return {"data": {uid: json.dumps(dict(months), sort_keys=True)}}


def spent(book: Mapping[str, str], month: str, here: Collection[str]) -> list[str]:
    """US dollars of one month, one amount a campaign that is gone: those that are `here`, by UID, tell it themselves until they are."""
    return [json.loads(months).get(month, "0") for uid, months in book.items() if uid not in here]
