"""Settings of the operator: the one place where its environment is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from aar_api import money

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "VIRTUAL_ENV", "SYSTEMROOT")
"""Variables that any program on this machine may need; nothing else of the environment reaches a container."""


@dataclass(frozen=True)
class Settings:
    """What the operator is started with."""

    image_hub: str = "aar-operator:dev"
    """Image of the hub: the trusted image, by its second entry point."""

    image_agent: str = "aar-agent:dev"
    """Image of the researchers."""

    image_lab: str = "aar-lab:dev"
    """Image of experiments."""

    cpu_usd_per_hour: str = "0.05"
    """US dollars of one CPU core for one hour: about the list price of general-purpose cloud machines."""

    gpu_usd_per_hour: str = "2.50"
    """US dollars of one GPU for one hour."""

    cache_dir: str = ""
    """Folder or URL where hubs keep baselines from one campaign to the next; empty: none are kept."""

    model_dir: str = ""
    """Folder with pretrained models that tasks may name; empty: only installed packages, absolute folders and hub ids."""

    provider_url: str = ""
    """Where hubs pass LLM calls on to; empty: the provider itself."""

    provider_key: str = field(default="", repr=False)
    """Key of the LLM provider, for hubs alone; empty: hubs refuse LLM calls."""

    cores: int = 1
    """CPU cores that experiments may use on one machine: all of them by default."""

    host_environment: Mapping[str, str] = field(default_factory=dict)
    """What processes on one machine inherit."""


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        InvalidInput: a variable breaks a rule.
    """
    env = os.environ if environ is None else environ
    for name in ("AAR_CPU_USD_PER_HOUR", "AAR_GPU_USD_PER_HOUR"):
        money.parse_usd(env.get(name) or "0")
    return Settings(
        image_hub=env.get("AAR_IMAGE_HUB") or Settings.image_hub,
        image_agent=env.get("AAR_IMAGE_AGENT") or Settings.image_agent,
        image_lab=env.get("AAR_IMAGE_LAB") or Settings.image_lab,
        cpu_usd_per_hour=env.get("AAR_CPU_USD_PER_HOUR") or Settings.cpu_usd_per_hour,
        gpu_usd_per_hour=env.get("AAR_GPU_USD_PER_HOUR") or Settings.gpu_usd_per_hour,
        cache_dir=env.get("AAR_CACHE_DIR") or "",
        model_dir=env.get("AAR_MODEL_DIR") or "",
        provider_url=(env.get("AAR_PROVIDER_URL") or "").rstrip("/"),
        provider_key=(env.get("AAR_PROVIDER_KEY") or "").strip(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        host_environment={name: env[name] for name in PASSED_ON if name in env},
    )
