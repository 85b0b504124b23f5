"""What one machine has to give: CPU cores and GPUs, handed out to pods in the order they came."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aar_operator.cluster import Manifest

GPU = "nvidia.com/gpu"
SMALL_MILLICORES = 500
"""Pods that ask for less (hub, researchers) mostly wait; counting them would leave a core of a small machine idle."""


@dataclass(frozen=True)
class Share:
    """What one pod holds."""

    millicores: int
    gpus: tuple[int, ...] = ()


@dataclass
class Node:
    """Capacity of the machine and what is left of it."""

    cores: int
    gpus: int
    _millicores: int = field(init=False)
    _free_gpus: list[int] = field(init=False)
    _waiting: list[tuple[asyncio.Future[Share], int, int]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._millicores = self.cores * 1000
        self._free_gpus = list(range(self.gpus))

    async def take(self, pod: Manifest) -> Share:
        """Wait for the pod's turn. A pod that asks for more cores than there are gets all of them, alone."""
        millicores = min(millicores_of(pod), self.cores * 1000)
        gpus = gpus_of(pod)
        if not millicores and not gpus:
            # The hub waits for nobody: experiments that hold all cores may be waiting for it.
            return Share(0)
        turn: asyncio.Future[Share] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, millicores, gpus))
        self._deal()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            self._waiting = [one for one in self._waiting if one[0] is not turn]
            raise

    def give_back(self, share: Share) -> None:
        """The pod has ended."""
        self._millicores += share.millicores
        self._free_gpus = sorted([*self._free_gpus, *share.gpus])
        self._deal()

    def fits(self, pod: Manifest) -> bool:
        """Whether the pod could ever run here."""
        return gpus_of(pod) <= self.gpus

    def _deal(self) -> None:
        while self._waiting:
            turn, millicores, gpus = self._waiting[0]
            if turn.done():
                self._waiting.pop(0)
                continue
            if millicores > self._millicores or gpus > len(self._free_gpus):
                return
            self._waiting.pop(0)
            mine, self._free_gpus = tuple(self._free_gpus[:gpus]), self._free_gpus[gpus:]
            self._millicores -= millicores
            turn.set_result(Share(millicores, mine))


def millicores_of(pod: Manifest) -> int:
    """CPU that the scheduler counts: the larger of all containers together and any init container; small requests count as none."""
    together = sum(_millicores(one) for one in pod["spec"]["containers"])
    asked = max([together, *(_millicores(one) for one in pod["spec"].get("initContainers", []))])
    return asked if asked >= SMALL_MILLICORES else 0


def gpus_of(pod: Manifest) -> int:
    """GPUs that the pod holds from its first container to its last."""
    every = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    return max(int(one.get("resources", {}).get("limits", {}).get(GPU, 0)) for one in every)


def _millicores(container: dict[str, Any]) -> int:
    text = str(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)
