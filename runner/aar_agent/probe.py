"""Tries every way out of a sandbox: `python -m aar_agent.probe --open hub:8080 --closed 1.1.1.1:443 ...`.

What must be open tells a policy that works from a network that is dead. Exit codes: 0 isolated, 1 the hub does not answer (try again),
EXIT_NOT_ISOLATED something answered that must not. The last word goes to the termination log as one sentence.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from pathlib import Path

from aar_api import labels

SECONDS = 3.0
"""A policy drops packets, so what is closed is seen only by waiting."""
RESOLVER = Path("/etc/resolv.conf")
TERMINATION_LOG = Path("/dev/termination-log")
QUESTION = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"
"""A DNS query for the address of example.com (RFC 1035, section 4)."""
DNS_PORT = 53


def connects(target: str) -> bool:
    """Whether host:port takes a TCP connection."""
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), SECONDS):
            return True
    except OSError:
        return False


def resolves(server: str) -> bool:
    """Whether a name server answers, whatever it says."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.settimeout(SECONDS)
        try:
            asked.sendto(QUESTION, (server, DNS_PORT))
            return len(asked.recv(512)) > 0
        except OSError:
            return False


def name_servers(text: str) -> list[str]:
    """The servers that a resolv.conf names."""
    lines = [line.split() for line in text.splitlines()]
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def probe(must_open: str, must_close: list[str], servers: list[str]) -> tuple[int, str]:
    """(exit code, sentence)."""
    leaks = [target for target in must_close if connects(target)]
    leaks += [f"{server}:53 (DNS)" for server in servers if resolves(server) or connects(f"{server}:53")]
    if leaks:
        return labels.EXIT_NOT_ISOLATED, f"From inside the sandbox these answer, but must not: {', '.join(leaks)}."
    if not connects(must_open):
        return 1, f"{must_open} does not answer from inside the sandbox, but it is the one way that must be open."
    closed = [*must_close, *(f"{server}:53 (DNS)" for server in servers)]
    return 0, f"Only {must_open} answers; closed are {', '.join(closed)}."


def main(arguments: list[str]) -> int:
    """Probe and tell; the exit code."""
    # As process 1 of a pod it would not hear it, and be killed after the whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(prog="aar_agent.probe", description=__doc__)
    parser.add_argument("--open", required=True, help="host:port that must answer")
    parser.add_argument("--closed", nargs="*", default=[], help="host:port that must not answer")
    options = parser.parse_args(arguments)
    servers = name_servers(RESOLVER.read_text()) if RESOLVER.exists() else []
    code, sentence = probe(options.open, options.closed, servers)
    sys.stdout.write(f"{sentence}\n")
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(sentence)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
