"""The errors of the lab.

AarError
└── LabError
    ├── LabSettingInvalid     the environment of a step is incomplete
    ├── HubRefused            the hub answered no; asking again would not help
    ├── HubUnreachable        the hub did not answer in time
    ├── BundleInvalid         the bundle lacks something or does not agree with itself
    ├── ModelNotFound         a model is neither installed nor a folder nor on a hub
    └── MethodFault           the method, not the lab, is at fault; carries the reason of the report
        ├── InvalidMethod         no `train`, no such method, unknown configuration
        └── InvalidPredictions    wrong length, not finite, outside [0, 1]
"""

from __future__ import annotations

from typing import ClassVar

from aar_api.errors import AarError


class LabError(AarError):
    """Base of the lab's errors."""


class LabSettingInvalid(LabError):
    """The environment of a step is incomplete."""


class HubRefused(LabError):
    """The hub answered no."""


class HubUnreachable(LabError):
    """The hub did not answer in time."""


class BundleInvalid(LabError):
    """The bundle lacks something or does not agree with itself."""


class ModelNotFound(LabError):
    """A model is neither installed nor a folder nor on a hub."""


class MethodFault(LabError):
    """The method is at fault."""

    reason: ClassVar[str] = "MethodError"


class InvalidMethod(MethodFault):
    """The method cannot be run as it stands."""

    reason = "InvalidMethod"


class InvalidPredictions(MethodFault):
    """What the method returned is no set of predictions."""

    reason = "InvalidPredictions"
