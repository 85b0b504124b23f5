"""The errors of the shared vocabulary.

AarError
├── InvalidInput      a value a person or a program gave breaks a rule
└── UnknownPlugin     no plug-in file has that name
"""

from __future__ import annotations

from pydantic import ValidationError


class AarError(Exception):
    """Base of everything `aar` raises on purpose; its text is one sentence fit for a person."""


class InvalidInput(AarError):
    """A value breaks a rule. The text gives the value, the rule and the way out."""


class UnknownPlugin(InvalidInput):
    """No plug-in file has that name."""


def explain(error: ValidationError) -> str:
    """Every mistake that pydantic found, by the field's path."""
    found = error.errors(include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'object'}: {one['msg']}" for one in found)
