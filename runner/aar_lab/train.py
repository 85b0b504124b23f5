"""Second step, inside: `python -m aar_lab.train` runs one method and leaves its arrays for the supervisor.

Started by `aar_lab.supervise` with no credential. Every way of failing has an exit code, and the log's last line says why.
"""

from __future__ import annotations

import errno
import importlib.util
import random
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from aar_api import files, plugins
from aar_api.base import Scalar
from aar_api.errors import AarError, UnknownPlugin
from aar_api.files import Assignment

from aar_lab import baselines, methods, outputs
from aar_lab import settings as lab_settings
from aar_lab.bundle import Bundle
from aar_lab.errors import InvalidMethod, MethodFault
from aar_lab.exits import EXIT_BY_REASON
from aar_lab.lab import Lab
from aar_lab.settings import Settings

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(settings: Settings) -> dict[str, outputs.Array]:
    """Do what the assignment says; the arrays its role owes."""
    assignment = Assignment.model_validate_json(settings.assignment_file.read_bytes())
    bundle = Bundle(settings.bundle_dir)
    seed_everything(assignment.seed, settings.threads)
    if assignment.role != "method":
        produce: Callable[[Bundle, Assignment], dict[str, outputs.Array]]
        produce = plugins.load(baselines, assignment.role, "baseline").produce
        return produce(bundle, assignment)
    method = load_method(assignment, settings.method_file)
    lab = Lab(
        bundle,
        seed=assignment.seed,
        config=merge_config(method, assignment.config),
        scratch=settings.scratch_dir,
        seconds=settings.deadline_seconds or assignment.deadline_seconds,
        smoke=assignment.smoke,
    )
    return {"test": outputs.predictions(method.train(lab), bundle.info.n_test, "The method's return value")}


def load_method(assignment: Assignment, path: Path) -> ModuleType:
    """The built-in or the snapshot's module, which must define `train`.

    Raises:
        InvalidMethod: there is none, it cannot be imported, or it has no `train`.
    """
    if assignment.builtin:
        try:
            return plugins.load(methods, assignment.builtin, "method")
        except UnknownPlugin as error:
            raise InvalidMethod(str(error)) from error
    if not path.is_file():
        raise InvalidMethod(f"The snapshot has no {files.METHOD_FILE}; put `def train(lab)` into a file of that name.")
    # Helper modules beside the method can be imported; last, so that none of them hides an installed package.
    sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location("method", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["method"] = module
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        raise InvalidMethod(f"{files.METHOD_FILE} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(getattr(module, "train", None)):
        raise InvalidMethod(
            f"{files.METHOD_FILE} defines no `train`; it must define `def train(lab)` that returns P(True) of each test row."
        )
    return module


def merge_config(method: ModuleType, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The method's DEFAULTS with the given values over them; a method without DEFAULTS takes any.

    Raises:
        InvalidMethod: a value has no default, or another type than its default.
    """
    defaults: dict[str, Scalar] | None = getattr(method, "DEFAULTS", None)
    if defaults is None:
        return dict(given)
    for key, value in given.items():
        if key not in defaults:
            known = ", ".join(sorted(defaults)) or "no configuration at all"
            raise InvalidMethod(f"The method knows no configuration {key!r}. It takes {known}.")
        if not _fits(value, defaults[key]):
            raise InvalidMethod(
                f"Configuration {key} is {value!r}, but its default {defaults[key]!r} is {_kind(defaults[key])}."
            )
    return defaults | dict(given)


def seed_everything(seed: int, threads: int) -> None:
    """Python, numpy and torch from one seed, and no more threads than the pod has cores."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)


def _fits(value: Scalar, default: Scalar) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float) if isinstance(default, float) else isinstance(value, type(default))


def _kind(value: Scalar) -> str:
    return {bool: "a truth value", int: "a whole number", float: "a number", str: "a word"}[type(value)]


def _reason(error: BaseException) -> str:
    if isinstance(error, MethodFault):
        return error.reason
    if isinstance(error, AarError):
        return "Internal"
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return "NoSpace"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "OutOfMemory"
    return "MethodError"


def _sentence(error: BaseException) -> str:
    if isinstance(error, AarError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"The method raised {type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})."


def main() -> int:
    """Exit 0 when the arrays are written; otherwise the code of the reason, after the traceback and one sentence on stderr."""
    settings = lab_settings.load()
    try:
        raw = outputs.write(run(settings))
        part = settings.output_dir / (files.OUTPUT + ".part")
        part.write_bytes(raw)
        part.replace(settings.output_dir / files.OUTPUT)
    except Exception as error:  # noqa: BLE001  the outermost frame: whatever a method raises has to be told
        if not isinstance(error, AarError):
            traceback.print_exc()
        reason = _reason(error)
        sys.stderr.write(" ".join(_sentence(error).split()) + "\n")
        return EXIT_BY_REASON[reason]
    return 0


if __name__ == "__main__":
    sys.exit(main())
