"""The lab's environment, read here and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aar_api import files, labels

from aar_lab.errors import LabSettingInvalid

_CHILD_KEEPS = (
    "PATH",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "TZ",
    labels.ENV_MODEL_DIR,
    labels.ENV_THREADS,
)
_CHILD_KEEPS_PREFIXES = ("PYTHON", "LC_", "CUDA", "NVIDIA", "HF_", "TORCH", "OMP_", "MKL_", "NCCL_")
_NEVER = ("TOKEN", "SECRET", "KEY", "PASSWORD")


@dataclass(frozen=True)
class Settings:
    """Where a lab step finds and leaves its files, and how long it may take."""

    input_dir: Path
    output_dir: Path
    work_dir: Path
    hub_url: str = ""
    token: str = ""
    index: int = 0
    threads: int = 1
    deadline_seconds: float | None = None

    @property
    def bundle_dir(self) -> Path:
        """The unpacked bundle."""
        return self.input_dir / files.BUNDLE_DIR

    @property
    def assignment_file(self) -> Path:
        """What this index has to do."""
        return self.input_dir / files.ASSIGNMENT

    @property
    def method_file(self) -> Path:
        """The method of a snapshot; absent for a built-in one."""
        return self.input_dir / files.SNAPSHOT_DIR / files.METHOD_FILE

    @property
    def scratch_dir(self) -> Path:
        """The method's working directory and home."""
        return self.work_dir / "scratch"

    @property
    def result_dir(self) -> Path:
        """Where the method's process leaves its arrays for the supervisor, who alone writes the output folder."""
        return self.work_dir / "result"


def load() -> Settings:
    """The settings of this process.

    Raises:
        LabSettingInvalid: a variable is missing or is no number.
    """
    deadline = os.environ.get(labels.ENV_DEADLINE_SECONDS, "")
    return Settings(
        input_dir=_folder(labels.ENV_INPUT_DIR),
        output_dir=_folder(labels.ENV_OUTPUT_DIR),
        work_dir=_folder(labels.ENV_WORK_DIR),
        hub_url=os.environ.get(labels.ENV_HUB_URL, "").rstrip("/"),
        token=os.environ.get(labels.ENV_TOKEN, ""),
        index=int(_number(labels.ENV_INDEX, "0")),
        threads=max(1, int(_number(labels.ENV_THREADS, "1"))),
        deadline_seconds=_number(labels.ENV_DEADLINE_SECONDS, deadline) if deadline else None,
    )


def model_dir() -> Path | None:
    """Folder that relative model paths start from, if one is mounted."""
    value = os.environ.get(labels.ENV_MODEL_DIR, "")
    return Path(value) if value else None


def holds_token() -> bool:
    """Whether this process was given a token, which a method's supervisor must not have."""
    return bool(os.environ.get(labels.ENV_TOKEN))


def without_token() -> dict[str, str]:
    """This environment less the token, to start the supervisor again with."""
    return {key: value for key, value in os.environ.items() if key != labels.ENV_TOKEN}


def child_environment(settings: Settings, deadline_seconds: float) -> dict[str, str]:
    """Environment of the method's process: what Python and CUDA need and its own folders, by allow-list, no credential."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if (key in _CHILD_KEEPS or key.startswith(_CHILD_KEEPS_PREFIXES)) and not any(word in key for word in _NEVER)
    }
    # The cache of models fetched by hub id stays where the person has it, although HOME moves.
    kept.setdefault("HF_HOME", str(Path(os.environ.get("HOME", "/nonexistent")) / ".cache" / "huggingface"))
    scratch = str(settings.scratch_dir)
    own = {
        "HOME": scratch,
        "TMPDIR": scratch,
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        labels.ENV_INPUT_DIR: str(settings.input_dir),
        labels.ENV_OUTPUT_DIR: str(settings.result_dir),
        labels.ENV_WORK_DIR: str(settings.work_dir),
        labels.ENV_THREADS: str(settings.threads),
        labels.ENV_INDEX: str(settings.index),
        labels.ENV_DEADLINE_SECONDS: str(deadline_seconds),
        "OMP_NUM_THREADS": str(settings.threads),
    }
    return kept | own


def _folder(name: str) -> Path:
    value = os.environ.get(name, "")
    if not value:
        raise LabSettingInvalid(f"{name} is not set; every step of a lab needs it: set it to a folder.")
    return Path(value).absolute()


def _number(name: str, default: str) -> float:
    value = os.environ.get(name, default)
    try:
        return float(value)
    except ValueError as error:
        raise LabSettingInvalid(f"{name} is {value!r}, but it must be a number.") from error
