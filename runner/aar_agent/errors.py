"""The agent's errors.

AgentError
├── SettingInvalid   a variable of the environment is missing
├── HubAway          the hub did not answer for a long time
├── HubRefused       the hub said no; `reason` is its word
├── Hopeless         another try would meet the same again
└── Stopped          the sandbox is asked to end; work goes on in the next one
"""

from __future__ import annotations

from aar_api.errors import AarError


class AgentError(AarError):
    """Base of what a researcher can end with."""


class SettingInvalid(AgentError):
    """A variable of the environment is missing."""


class HubAway(AgentError):
    """The hub did not answer for a long time."""


class HubRefused(AgentError):
    """The hub said no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Hopeless(AgentError):
    """Another try would meet the same again."""


class Stopped(AgentError):
    """The sandbox is asked to end."""
