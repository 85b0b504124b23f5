"""Find a plug-in by its file name: listed without importing, imported only if listed, so no name can reach beyond its folder."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from aar_api.errors import UnknownPlugin


def names(package: ModuleType) -> list[str]:
    """Plug-ins in a package, sorted; files that start with `_` are not plug-ins. Hyphens replace underscores."""
    found = pkgutil.iter_modules(package.__path__)
    return sorted(module.name.replace("_", "-") for module in found if not module.name.startswith("_"))


def load(package: ModuleType, name: str, what: str) -> ModuleType:
    """Import the plug-in called `name`; `what` is the noun for the error ("method", "task", ...).

    Raises:
        UnknownPlugin: no file in the package has that name.
    """
    known = names(package)
    if name not in known:
        raise UnknownPlugin(f"No {what} is named {name!r}. Known: {', '.join(known)}.")
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")
