"""The command line's environment, read here and nowhere else."""

from __future__ import annotations

import os

PROVIDER_URL, PROVIDER_KEY = "AAR_PROVIDER_URL", "AAR_PROVIDER_KEY"
"""What the operator reads: where LLM calls go, and the key for them."""


def has_provider_key() -> bool:
    """Whether LLM calls can be paid."""
    return bool(os.environ.get(PROVIDER_KEY, "").strip())


def for_operator(provider: str | None) -> dict[str, str]:
    """The operator's environment; with a double's address in place of the provider, if there is one."""
    environment = dict(os.environ)
    if provider is not None:
        environment |= {PROVIDER_URL: provider, PROVIDER_KEY: "fake-llm"}
    return environment


def for_parts() -> dict[str, str]:
    """The environment of parts that are only asked something: the key is none of their business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PROVIDER_KEY)}
