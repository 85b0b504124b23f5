"""The isolation probe with real sockets: what answers, what does not, and what it says."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from aar_agent import probe
from aar_api import labels


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def test_only_the_hub_answers(listening: str, closed: str) -> None:
    assert probe.probe(listening, [closed], []) == (0, f"Only {listening} answers; closed are {closed}.")


def test_something_else_answers(listening: str, closed: str) -> None:
    code, sentence = probe.probe(listening, [closed, listening], [])
    assert code == labels.EXIT_NOT_ISOLATED
    assert listening in sentence


def test_the_hub_is_silent(closed: str) -> None:
    code, sentence = probe.probe(closed, [], [])
    assert (code, "does not answer" in sentence) == (1, True)


def test_a_name_server_that_answers_is_a_way_out(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(probe, "DNS_PORT", server.getsockname()[1])
        monkeypatch.setattr(probe, "SECONDS", 0.3)
        assert probe.resolves("127.0.0.1") is False
        address = ("127.0.0.1", server.getsockname()[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            asks.sendto(probe.QUESTION, address)
            for _ in range(2):
                question, _where = server.recvfrom(512)
                assert question == probe.QUESTION


def test_name_servers() -> None:
    assert probe.name_servers("search x\nnameserver 10.0.0.10\n# nameserver no\nnameserver fd00::a\n") == [
        "10.0.0.10",
        "fd00::a",
    ]
