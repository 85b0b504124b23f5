"""Ports for programs that cannot say which one the system gave them."""

from __future__ import annotations

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000


def free_ports(count: int) -> list[int]:
    """So many different ones of loopback, below those that the system gives away: such a port may be another program's by the time it is used."""
    below, held = int(RANGE.read_text().split()[0]), []
    while len(held) < count:
        one = socket.socket()
        try:
            one.bind(("127.0.0.1", random.randrange(LOWEST, below)))
        except OSError:
            one.close()
        else:
            held.append(one)
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
