"""Finding and loading pretrained models: an installed package, a folder, or a hub id."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from aar_api.files import ModelRef

from aar_lab import settings
from aar_lab.errors import ModelNotFound

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def resolve(source: str) -> str:
    """Folder or hub id of a model.

    An installed package wins, then a folder (as given, then under the model folder), then a hub id of the form `owner/name`.

    Raises:
        ModelNotFound: none of these.
    """
    folder = _package_folder(source) or _local_folder(source)
    if folder is not None:
        return str(folder)
    if source.count("/") == 1 and not Path(source).is_absolute() and not source.startswith("."):
        return source
    raise ModelNotFound(
        f"The model {source!r} is neither an installed package with {CONFIG} and weights, nor a folder with them"
        f"{_below()}, nor a hub id like owner/name. Install the package, or give a folder or an id."
    )


def load(auto_class: Any, ref: ModelRef, **options: Any) -> Any:
    """A model in float32, cut to the layers asked for, without the tables and bars that transformers prints."""
    import torch

    _hush()
    if ref.layers is not None:
        options["num_hidden_layers"] = ref.layers
    return _from_pretrained(auto_class, ref.source, dtype=torch.float32, **options)


def tokenizer(ref: ModelRef) -> Any:
    """The fast tokenizer of a model."""
    from transformers import AutoTokenizer

    _hush()
    return _from_pretrained(AutoTokenizer, ref.source)


def _from_pretrained(auto_class: Any, source: str, **options: Any) -> Any:
    place = resolve(source)
    try:
        return auto_class.from_pretrained(place, **options)
    except OSError as error:
        first = str(error).splitlines()[0]
        raise ModelNotFound(f"The model {source!r} could not be loaded from {place}: {first}") from error


def _package_folder(source: str) -> Path | None:
    module = source.replace("-", "_").replace(".", "_")
    if not module.isidentifier():
        return None
    spec = importlib.util.find_spec(module)
    for root in (spec.submodule_search_locations or []) if spec is not None else []:
        for config in sorted(Path(root).rglob(CONFIG)):
            if _is_model(config.parent):
                return config.parent
    return None


def _local_folder(source: str) -> Path | None:
    base = settings.model_dir()
    candidates = [Path(source)] if base is None else [Path(source), base / source]
    return next((folder.absolute() for folder in candidates if _is_model(folder)), None)


def _is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS)


def _below() -> str:
    base = settings.model_dir()
    return f" (also looked under {base})" if base is not None else ""


def _hush() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
