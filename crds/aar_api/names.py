"""Derived names: deterministic, DNS-safe, with a hash wherever something had to be cut."""

from __future__ import annotations

import hashlib
import re

RFC1035 = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
MAX_CAMPAIGN = 40
"""Characters of a campaign's name: 40 + 1 + 8 (hash) + 1 + 13 (part) = 63, a namespace's limit."""
MAX_PART = 13
MAX_EXPERIMENT = 52
"""Characters of an experiment's name: 52 + 11 (attempt, index and pod suffix of a Job) = 63."""
RESERVED_PARTS = ("hub", "baseline", "verify")


def short_hash(*parts: str, length: int = 8) -> str:
    """First hex digits of a SHA-256 over the parts, which are kept apart by a NUL."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:length]


def namespace(campaign: str, uid: str, part: str) -> str:
    """`<campaign>-<hash of its UID>-<part>`."""
    return f"{campaign}-{short_hash(uid)}-{part}"


def researcher(index: int) -> str:
    """Part name of the researcher with that index: `r0`, `r1`, ..."""
    return f"r{index}"


def experiment(campaign: str, *key: str) -> str:
    """`<campaign>-<hash of the key>`, cut to what an Experiment's name allows (43 + 1 + 8 = 52)."""
    return f"{campaign[: MAX_EXPERIMENT - 9].rstrip('-')}-{short_hash(campaign, *key)}"


def job(experiment_name: str, attempt: int) -> str:
    """`<experiment>-<attempt>`, counted from 1."""
    return f"{experiment_name}-{attempt}"


def is_dns_label(text: str) -> bool:
    """Whether the text is an RFC 1035 label."""
    return len(text) <= 63 and re.match(RFC1035, text) is not None
