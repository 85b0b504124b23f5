"""Ports for programs that cannot say which one the system gave them."""

from __future__ import annotations

from aar_operator.cluster.local_ports import free_port


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
