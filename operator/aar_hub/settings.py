"""Settings of the hub: the one place where its environment is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from aar_api import labels, money
from aar_api.errors import InvalidInput

from aar_hub.errors import StartError


@dataclass(frozen=True)
class Settings:
    """What a hub is started with."""

    data_dir: Path
    """Database, blobs and key; everything a restart needs."""

    operator_token: str
    """Secret that the operator shows on the operator port."""

    cache_dir: str | None = None
    """Folder or URL that outlives the campaign and keeps baseline outputs by digest; none: nothing is cached."""

    host: str = "127.0.0.1"
    """Address to listen on; in a pod 0.0.0.0, on one machine loopback only."""

    sandbox_port: int = 8080
    """Port for sandboxes; 0 lets the system choose."""

    operator_port: int = 8081
    """Port for the operator, pages and metrics; 0 lets the system choose."""

    cpu_usd_per_hour: str = "0.05"
    """US dollars of one CPU core for one hour: about the list price of general-purpose cloud machines."""

    gpu_usd_per_hour: str = "2.50"
    """US dollars of one GPU for one hour."""

    database_url: str | None = None
    """SQLAlchemy URL; a SQLite file in the data folder if absent."""

    lab_version: str = "0"
    """Part of the cache key of baselines: another lab may compute other features. Package version if not set."""

    @property
    def database(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'hub.sqlite'}"


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        StartError: a variable is missing or breaks a rule.
    """
    env = os.environ if environ is None else environ
    for name in (labels.ENV_HUB_DATA_DIR, labels.ENV_HUB_OPERATOR_TOKEN):
        if not env.get(name):
            raise StartError(f"{name} is not set, but the hub cannot start without it: set it in the environment.")
    return Settings(
        data_dir=Path(env[labels.ENV_HUB_DATA_DIR]),
        operator_token=env[labels.ENV_HUB_OPERATOR_TOKEN],
        cache_dir=env.get(labels.ENV_HUB_CACHE_DIR) or None,
        host=env.get("AAR_HUB_HOST") or Settings.host,
        sandbox_port=_port(env, labels.ENV_HUB_SANDBOX_PORT, Settings.sandbox_port),
        operator_port=_port(env, labels.ENV_HUB_OPERATOR_PORT, Settings.operator_port),
        cpu_usd_per_hour=_price(env, labels.ENV_HUB_CPU_USD_PER_HOUR, Settings.cpu_usd_per_hour),
        gpu_usd_per_hour=_price(env, labels.ENV_HUB_GPU_USD_PER_HOUR, Settings.gpu_usd_per_hour),
        database_url=env.get(labels.ENV_HUB_DATABASE_URL) or None,
        lab_version=env.get("AAR_HUB_LAB_VERSION") or metadata.version("aar"),
    )


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or int(text) > 65535:
        raise StartError(f"{name} is {text!r}, but a port is a number from 0 to 65535: correct it.")
    return int(text)


def _price(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    try:
        money.parse_usd(text)
    except InvalidInput as error:
        raise StartError(f"{name}: {error}") from error
    return text
