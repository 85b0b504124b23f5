"""Ports of a run from one start to the next."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from aar_operator.cluster import Ref
from aar_operator.cluster.local import LocalCluster
from aar_operator.cluster.local_ports import LOOPBACK, PortTaken, free_port

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hub", "namespace": "n"},
    "spec": {"selector": {"a": "b"}, "ports": [{"name": name, "port": 1, "targetPort": 1} for name in ("sandbox", "operator")]},
}  # fmt: skip


async def start(folder: Path, fixed: dict[str, int]) -> dict[str, int]:
    """Ports by name after a start."""
    cluster = LocalCluster(folder, cores=1, gpus=0, host_environment={}, fixed_ports=fixed)
    try:
        await cluster.start()
        if await cluster.get(Ref("Service", "n", "hub")) is None:
            await cluster.apply(SERVICE)
        service = await cluster.get(Ref("Service", "n", "hub"))
        assert service is not None
        return {port["name"]: port["port"] for port in service["spec"]["ports"]}
    finally:
        await cluster.stop()


def taken(port: int) -> socket.socket:
    """Another program that listens."""
    other = socket.socket()
    other.bind((LOOPBACK, port))
    other.listen()
    return other


def test_ports_are_kept(tmp_path: Path) -> None:
    assert asyncio.run(start(tmp_path, {})) == asyncio.run(start(tmp_path, {}))


def test_the_port_of_pages_moves_when_another_is_asked_for(tmp_path: Path) -> None:
    first, wanted = asyncio.run(start(tmp_path, {})), free_port()
    assert asyncio.run(start(tmp_path, {"operator": wanted})) == first | {"operator": wanted}


def test_the_port_of_pages_moves_when_it_was_taken_meanwhile(tmp_path: Path) -> None:
    first = asyncio.run(start(tmp_path, {}))
    with taken(first["operator"]):
        second = asyncio.run(start(tmp_path, {}))
    assert second["sandbox"] == first["sandbox"]
    assert second["operator"] != first["operator"]


def test_the_port_that_experiments_know_does_not_move(tmp_path: Path) -> None:
    first = asyncio.run(start(tmp_path, {}))
    with (
        taken(first["sandbox"]),
        pytest.raises(PortTaken, match=rf"Port {first['sandbox']} is in use .* stop that program"),
    ):
        asyncio.run(start(tmp_path, {}))
