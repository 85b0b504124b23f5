"""The agent's environment, read here and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aar_api import labels

from aar_agent.errors import SettingInvalid


@dataclass(frozen=True)
class Settings:
    """Where the hub is, what it knows this researcher by, and where the workspace lies."""

    hub_url: str
    token: str
    work_dir: Path
    researcher: str = ""
    """For the log alone; the token says who this is."""


def load() -> Settings:
    """The settings of this process.

    Raises:
        SettingInvalid: a variable is missing.
    """
    return Settings(
        hub_url=_need(labels.ENV_HUB_URL).rstrip("/"),
        token=_need(labels.ENV_TOKEN),
        work_dir=Path(_need(labels.ENV_WORK_DIR)).absolute(),
        researcher=os.environ.get(labels.ENV_RESEARCHER, ""),
    )


def shell_environment(home: Path) -> dict[str, str]:
    """What a shell of the researcher's needs, and no more: neither the token nor the hub's address."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **kept, "HOME": str(home), "TERM": "dumb"}


def _need(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SettingInvalid(
            f"{name} is not set, but a researcher needs it: the operator sets it in the researcher's pod."
        )
    return value
