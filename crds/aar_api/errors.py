"""The errors of the shared vocabulary.

AarError
├── InvalidInput      a value a person or a program gave breaks a rule
└── UnknownPlugin     no plug-in file has that name
"""

from __future__ import annotations


class AarError(Exception):
    """Base of everything `aar` raises on purpose; its text is one sentence fit for a person."""


class InvalidInput(AarError):
    """A value breaks a rule. The text gives the value, the rule and the way out."""


class UnknownPlugin(InvalidInput):
    """No plug-in file has that name."""
