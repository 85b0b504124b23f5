"""What every service works with: settings, keys, stores, clock, and the bell that wakes the worker."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aar_hub import keys
from aar_hub.domain.ledger import Prices
from aar_hub.gateway.key import Key
from aar_hub.gateway.standing import Standing
from aar_hub.settings import Settings
from aar_hub.store.blobs import Blobs
from aar_hub.store.cache import Cache
from aar_hub.store.database import Database


@dataclass(frozen=True)
class Hub:
    """The parts of one hub."""

    settings: Settings
    keys: keys.Keys
    db: Database
    blobs: Blobs
    cache: Cache
    key: Key
    wake: threading.Event = field(default_factory=threading.Event)
    llm_refusals: Counter[int] = field(default_factory=Counter)
    """LLM calls that the gateway answered itself, by status, since this process began."""
    provider: Standing = field(default_factory=Standing)

    @property
    def prices(self) -> Prices:
        """Prices of compute."""
        return Prices(self.settings.cpu_usd_per_hour, self.settings.gpu_usd_per_hour)

    @staticmethod
    def now() -> str:
        """The time as Kubernetes writes it."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def start(settings: Settings) -> Hub:
    """Open, or make, what lies in the data folder."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return Hub(
        settings=settings,
        keys=keys.load(settings.data_dir),
        db=Database(settings.database),
        blobs=Blobs(str(settings.data_dir / "blobs")),
        cache=Cache(settings.cache_dir),
        key=Key(settings.provider_key, settings.provider_key_file),
    )
