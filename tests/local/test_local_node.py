"""Who gets the machine's cores, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aar_operator.cluster.local_node import Node, Share


def pod(cpu: str, gpus: int = 0) -> dict[str, Any]:
    """A pod of one container."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}, "limits": limits}}]}}


async def turns(node: Node, *pods: dict[str, Any]) -> list[bool]:
    """Which of the pods, asking one after another, have their share at once."""
    asked = []
    for one in pods:
        asked.append(asyncio.create_task(node.take(one)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    given = [task.done() for task in asked]
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    return given


@pytest.mark.parametrize(
    ("pods", "given"),
    [
        ([pod("1"), pod("1"), pod("1")], [True, True, False]),
        ([pod("1"), pod("1"), pod("1"), pod("100m")], [True, True, False, True]),
        ([pod("1"), pod("2"), pod("1")], [True, False, False]),
        ([pod("16"), pod("1")], [True, False]),
        ([pod("1", gpus=1), pod("1", gpus=1)], [True, False]),
    ],
    ids=["cores run out", "a hub behind a queue", "nobody overtakes", "more than there is", "GPUs run out"],
)
def test_shares_are_dealt_in_order(pods: list[dict[str, Any]], given: list[bool]) -> None:
    assert asyncio.run(turns(Node(cores=2, gpus=1), *pods)) == given


def test_what_is_given_back_goes_to_the_next() -> None:
    async def scenario() -> Share:
        node = Node(cores=1, gpus=0)
        first = await node.take(pod("1"))
        second = asyncio.create_task(node.take(pod("1")))
        await asyncio.sleep(0)
        node.give_back(first)
        return await second

    assert asyncio.run(scenario()) == Share(1000)
