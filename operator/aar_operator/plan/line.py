"""A campaign's experiments: how many are how far, and who of those that run or wait comes before whom.

Kept up to date object by object: to look at all of them for each of them would grow with their square.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aar_api.experiment import Purpose

TURN: dict[Purpose, int] = {
    "Baseline": 0,
    "Exploration": 1,
    "Smoke": 1,
    "Replication": 2,
    "Control": 2,
    "Transfer": 2,
}
"""Exploration cannot begin before its baselines, so that, however old, it must not stand in their way."""
RESEARCH = ("Exploration", "Smoke")
OVER = ("Complete", "Failed", "Cancelled")
"""Phases of an experiment that neither runs nor waits."""


@dataclass(frozen=True, slots=True)
class Place:
    """One that runs or waits, as the others see it."""

    turn: tuple[int, str, str]
    """The lower comes first: by purpose, then the older, of one second by name."""
    holds: bool
    """Whether it has a Job."""
    able: bool
    """Whether it could have a Job: one that is suspended, or not accepted as it is, stands in nobody's way."""
    told: bool
    """Whether it was told to wait."""
    gpus: int
    """What all its seeds take together: no less than it may have at once, whatever the campaign's limit was when its Job was made."""
    research: bool

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Place:
        """Read an Experiment, which need not have its defaults."""
        meta, spec, status = manifest["metadata"], manifest["spec"], manifest.get("status", {})
        purpose = spec.get("purpose", "Exploration")
        return cls(
            turn=(TURN.get(purpose, 1), meta.get("creationTimestamp") or "", meta["name"]),
            holds=status.get("jobRef") is not None,
            able=spec.get("desiredState") != "Suspended" and not _refused(status),
            told=status.get("phase") == "Queued",
            gpus=spec.get("resources", {}).get("gpus", 0) * spec.get("seeds", 1),
            research=purpose in RESEARCH,
        )


def _refused(status: dict[str, Any]) -> bool:
    return any(one["type"] == "Accepted" and one["status"] == "False" for one in status.get("conditions") or [])


class Line:
    """The experiments of one campaign."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self._phase: dict[str, str] = {}
        self._open: dict[str, Place] = {}
        self._begun: set[str] = set()

    def note(self, manifest: dict[str, Any]) -> None:
        """An Experiment as it is now."""
        name, phase = manifest["metadata"]["name"], manifest.get("status", {}).get("phase", "Pending")
        begun = name in self._begun
        self.forget(name)
        self._phase[name] = phase
        self.phases[phase] += 1
        if phase not in OVER:
            self._open[name] = Place.of(manifest)
            self.begin(name, begun)

    def begin(self, name: str, begins: bool) -> None:
        """Whether it was decided that it has a Job: it holds its place from then on, and not only once its status says so."""
        if begins and name in self._open:
            self._begun.add(name)
        else:
            self._begun.discard(name)

    def forget(self, name: str) -> bool:
        """It is no more. Whether it ran or waited, so that others may move up."""
        phase = self._phase.pop(name, None)
        if phase is not None:
            self.phases[phase] -= 1
        self._begun.discard(name)
        return self._open.pop(name, None) is not None

    def __iter__(self) -> Iterator[str]:
        """Names of those that run or wait."""
        return iter(self._open)

    @property
    def exploring(self) -> bool:
        """Whether anything that a researcher or a person asked for runs or waits."""
        begun = self._begun
        return any(one.research and (one.able or one.holds or name in begun) for name, one in self._open.items())

    def ahead(self, manifest: dict[str, Any]) -> tuple[int, int]:
        """How many hold a place, or could have one and their turn is earlier, and the GPUs of these."""
        own, name, begun = Place.of(manifest).turn, manifest["metadata"]["name"], self._begun
        others = [
            one.gpus
            for key, one in self._open.items()
            if key != name and (one.holds or key in begun or (one.able and one.turn < own))
        ]
        return len(others), sum(others)

    def next(self, places: int) -> list[str]:
        """Of those that were told to wait, whoever may have one of so many places now."""
        begun = self._begun
        idle = [(one, name) for name, one in self._open.items() if not (one.holds or name in begun)]
        free = places - (len(self._open) - len(idle))
        waiting = [(one.turn, name) for one, name in idle if one.able]
        return [name for _, name in heapq.nsmallest(free, waiting) if self._open[name].told]
