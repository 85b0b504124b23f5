"""Errors of the LLM researcher.

AgentError
├── Hopeless
│   └── ProviderRefused   no model will answer this researcher
└── ProviderAway          the provider failed again and again; a later start may fare better
ToolFailed                what a tool says to the model; never leaves the turn
"""

from __future__ import annotations

from aar_api.errors import AarError

from aar_agent.errors import AgentError, Hopeless


class ProviderRefused(Hopeless):
    """No model will answer this researcher."""


class ProviderAway(AgentError):
    """The provider failed again and again."""


class ToolFailed(AarError):
    """A tool says no to the model."""
