"""What is researched: data with splits, and a weak and a strong model.

Law: a task is one file, found by its name, with a `SPEC` and `build(params) -> Items`. Data is read from
installed packages as files: none is copied into the project and no code of theirs is run. It is read in `build` alone,
so that naming a task costs nothing. The same parameters always give the
same items. Nothing that a lab sees says which choices are right: see `_pairs`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from aar_api import plugins
from aar_api.base import Scalar

from aar_hub.tasks._params import settle
from aar_hub.tasks._task import Item, Items, Params, Task

__all__ = ["Item", "Items", "Params", "Task", "names", "resolve"]


def names() -> list[str]:
    """Every task, sorted."""
    return plugins.names(sys.modules[__name__])


def resolve(name: str, params: Mapping[str, Scalar]) -> Task:
    """A task with its parameters settled; no data is read yet.

    Raises:
        UnknownPlugin: there is no such task.
        InvalidInput: a parameter is unknown, of the wrong type or out of range.
    """
    module = plugins.load(sys.modules[__name__], name, "task")
    return Task(name=name, spec=module.SPEC, params=settle(name, module.SPEC, params), builder=module.build)
