"""Settings of the hub: the one place where its environment is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aar_api import labels, money
from aar_api.errors import InvalidInput
from aar_api.version import VERSION

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

    version: str = VERSION
    """Of this hub, for receipts: its image in a pod, else the project's version."""

    lab_version: str = "0"
    """Part of the cache key of baselines: another lab may compute other features. Package version if not set."""

    provider_url: str = "https://api.anthropic.com"
    """Where LLM calls go: the provider, or a company's gateway that speaks the Messages API."""

    provider_key: str | None = field(default=None, repr=False)
    """Key of the provider, if no file has it. Without a key LLM calls are refused."""

    provider_key_file: Path | None = None
    """File with the key of the provider, read again when it changes; goes before the variable."""

    provider_proxy: str | None = None
    """HTTP proxy towards the provider. A name of our own: HTTPS_PROXY may be set for other programs of the machine."""

    provider_ca_file: Path | None = None
    """Certificates that the provider's is checked against; the system's if absent."""

    llm_concurrency: int = 8
    """LLM calls of one researcher at once; it needs one, and some more for helpers of its own."""

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
        host=env.get(labels.ENV_HUB_HOST) or Settings.host,
        sandbox_port=_port(env, labels.ENV_HUB_SANDBOX_PORT, Settings.sandbox_port),
        operator_port=_port(env, labels.ENV_HUB_OPERATOR_PORT, Settings.operator_port),
        cpu_usd_per_hour=_price(env, labels.ENV_HUB_CPU_USD_PER_HOUR, Settings.cpu_usd_per_hour),
        gpu_usd_per_hour=_price(env, labels.ENV_HUB_GPU_USD_PER_HOUR, Settings.gpu_usd_per_hour),
        database_url=env.get(labels.ENV_HUB_DATABASE_URL) or None,
        provider_url=_url(env, labels.ENV_HUB_PROVIDER_URL, Settings.provider_url),
        provider_key=(env.get(labels.ENV_HUB_PROVIDER_KEY) or "").strip() or None,
        provider_key_file=_file(env, labels.ENV_HUB_PROVIDER_KEY_FILE),
        provider_proxy=_url(env, labels.ENV_HUB_PROVIDER_PROXY, "") or None,
        provider_ca_file=_file(env, labels.ENV_HUB_PROVIDER_CA_FILE),
        llm_concurrency=_count(env, labels.ENV_HUB_LLM_CONCURRENCY, Settings.llm_concurrency),
        lab_version=env.get(labels.ENV_HUB_LAB_VERSION) or VERSION,
        version=env.get(labels.ENV_HUB_VERSION) or VERSION,
    )


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or int(text) > 65535:
        raise StartError(f"{name} is {text!r}, but a port is a number from 0 to 65535: correct it.")
    return int(text)


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise StartError(f"{name} is {text!r}, but a number from 1 to 1000 is wanted: correct it.")
    return int(text)


def _url(env: Mapping[str, str], name: str, default: str) -> str:
    text = (env.get(name) or default).rstrip("/")
    if text and not text.startswith(("http://", "https://")):
        raise StartError(f"{name} is {text!r}, but it must begin with http:// or https://: correct it.")
    return text


def _file(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


def _price(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    try:
        money.parse_usd(text)
    except InvalidInput as error:
        raise StartError(f"{name}: {error}") from error
    return text
