"""Why a local run cannot start or go on.

LocalError
├── DirectoryInUse    another run has the directory
├── PortInUse         somebody listens where the hub must
└── HubDoesNotStart   the hub ends again and again
"""

from __future__ import annotations

from aar_api.errors import AarError


class LocalError(AarError):
    """The environment does not let the run go on."""


class DirectoryInUse(LocalError):
    """Another run has the directory."""


class PortInUse(LocalError):
    """Somebody listens where the hub must."""


class HubDoesNotStart(LocalError):
    """The hub ends again and again."""
