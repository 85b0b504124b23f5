"""An LLM at the desk: reads, thinks, writes methods of its own, runs them, tells its colleagues."""

from __future__ import annotations

from aar_api.wire import Brief

from aar_agent.desk import Desk

SUMMARY = (
    "An LLM with a shell, a notebook and the hub's tools; writes its own methods. Needs researchers.model and a key."
)


def run(desk: Desk, brief: Brief) -> str:
    """Research until a stop condition holds; why it ended."""
    # Only now: the SDK takes a second to import, and whoever lists the researchers has no need of it.
    from aar_agent.claude import research

    return research.work(desk, brief)
