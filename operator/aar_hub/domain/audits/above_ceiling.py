"""A score far above the ceiling is more often a leak than a discovery."""

from __future__ import annotations

from aar_hub.domain.audits import Evidence

SUSPICIOUS = 1.25
"""Published methods end below 1; a quarter above leaves room for the noise of a small test half."""


def check(evidence: Evidence) -> str:
    """Finds implausible scores."""
    # Not by how much: the submitter reads this, and is told figures by the ladder alone.
    return f"its PGR exceeds {SUSPICIOUS}" if evidence.pgr > SUSPICIOUS else ""
