"""Why a local run cannot start or go on.

LocalError
├── DirectoryInUse    another run has the directory
├── DiskFull          too little space is left for anything to be kept
└── HubDoesNotStart   the hub ends again and again
"""

from __future__ import annotations

from aar_api.errors import AarError


class LocalError(AarError):
    """The environment does not let the run go on."""


class DirectoryInUse(LocalError):
    """Another run has the directory."""


class DiskFull(LocalError):
    """Too little space is left for anything to be kept."""


class HubDoesNotStart(LocalError):
    """The hub ends again and again."""
