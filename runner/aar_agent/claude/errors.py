"""Errors of the LLM researcher.

Hopeless
└── ProviderRefused   no model will answer this researcher
ToolFailed            what a tool says to the model; never leaves the turn
"""

from __future__ import annotations

from aar_api.errors import AarError

from aar_agent.errors import Hopeless


class ProviderRefused(Hopeless):
    """No model will answer this researcher."""


class ToolFailed(AarError):
    """A tool says no to the model."""
