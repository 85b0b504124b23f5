"""Ports of this machine."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from aar_operator.cluster import ClusterError

LOOPBACK = "127.0.0.1"
LOWEST = 10_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_BEGINS = 32_768
"""Where ports for outgoing connections begin on Linux, if the kernel does not say."""
TRIES = 200


class PortTaken(ClusterError):
    """Somebody listens where we must."""


def free_port() -> int:
    """A port that nobody listens on now, below those that the kernel gives to outgoing connections: a hub that restarts must find its own free.

    Raises:
        PortTaken: none was found.
    """
    try:
        end = int(EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        end = EPHEMERAL_BEGINS
    for _ in range(TRIES):
        port = random.randrange(LOWEST, max(end, LOWEST + 1))
        if is_free(port):
            return port
    raise PortTaken(f"No free port was found between {LOWEST} and {end} in {TRIES} tries: stop what listens there.")


def is_free(port: int) -> bool:
    """Whether it can be listened on."""
    try:
        _bind(port)
    except OSError:
        return False
    return True


def check_port(port: int) -> None:
    """Refuse a port that is in use.

    Raises:
        PortTaken: somebody listens on it.
    """
    try:
        _bind(port)
    except OSError as error:
        raise PortTaken(
            f"Port {port} is in use or not allowed ({error.strerror}), but the hub's pages need a free one: name another with --port, or leave it out."
        ) from error


def _bind(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
