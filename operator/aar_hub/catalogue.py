"""The methods that the lab ships, as its image described them."""

from __future__ import annotations

import sqlalchemy as sa
from aar_api import digest
from aar_api.wire import MethodCard
from pydantic import TypeAdapter, ValidationError

from aar_hub.hub import Hub
from aar_hub.store import tables

CARDS = TypeAdapter(list[MethodCard])


def cards(tx: sa.Connection) -> list[MethodCard]:
    """Every method, with source, by name."""
    query = sa.select(tables.methods.c.card).order_by(tables.methods.c.name)
    return [MethodCard.model_validate(card) for card in tx.execute(query).scalars()]


def find(tx: sa.Connection, name: str) -> MethodCard | None:
    """The method of that name."""
    card = tx.execute(sa.select(tables.methods.c.card).where(tables.methods.c.name == name)).scalar_one_or_none()
    return None if card is None else MethodCard.model_validate(card)


def replace(tx: sa.Connection, hub: Hub, found: list[MethodCard]) -> None:
    """Take over what the lab says, and keep it beside the cached baselines."""
    _write(tx, found)
    hub.cache.put(_cache_key(hub), digest.canonical_json([card.dump() for card in found]))


def load_cached(tx: sa.Connection, hub: Hub) -> bool:
    """Whether methods are known, here or from an earlier campaign."""
    if tx.execute(sa.select(tables.methods.c.name)).first() is not None:
        return True
    data = hub.cache.get(_cache_key(hub))
    try:
        found = [] if data is None else CARDS.validate_json(data)
    except ValidationError:
        return False
    _write(tx, found)
    return bool(found)


def _write(tx: sa.Connection, found: list[MethodCard]) -> None:
    tx.execute(sa.delete(tables.methods))
    for card in found:
        tx.execute(sa.insert(tables.methods).values(name=card.name, card=card.dump()))


def _cache_key(hub: Hub) -> object:
    return {"lab": hub.settings.lab_version, "role": "catalogue"}
