"""What a process uses: CPU and memory as the kernel counts them, requests as the operator does."""

from __future__ import annotations

import os
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

TICK = os.sysconf("SC_CLK_TCK")
LEASE_VERB = "update"
"""The operator replaces nothing but its Lease."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of those it started."""
    return sum(_ticks(one) for one in _family(pid)) / TICK


def rss_kb(pid: int) -> int:
    """Resident memory of a process and of those it started, KB of 1024 bytes; what they share counts twice."""
    return sum(_status(one, "VmRSS") for one in _family(pid))


def peak_kb(pid: int) -> int:
    """The most there was of it, of each at its own time."""
    return sum(_status(one, "VmHWM") for one in _family(pid))


def _family(pid: int) -> list[int]:
    children = Path("/proc", str(pid), "task", str(pid), "children").read_text().split()
    return [pid, *map(int, children)]


def _ticks(pid: int) -> int:
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _status(pid: int, field: str) -> int:
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


@dataclass(frozen=True)
class Counts:
    """The operator's own counts at one time."""

    requests: Counter[str]
    """By verb."""
    reconciles: Counter[str]
    """By kind."""
    phases: Counter[str]
    """Experiments."""
    leads: bool
    waiting: int
    """Names in the queue that could be looked at."""

    @property
    def writes(self) -> int:
        """Requests that change something, the Lease left out."""
        return sum(count for name, count in self.requests.items() if name not in ("get", LEASE_VERB))


def counts(port: int) -> Counts:
    """Read /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    requests: Counter[str] = Counter()
    reconciles: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    single: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "aar_api_requests_total":
                requests[sample.labels["verb"]] += int(sample.value)
            elif sample.name == "aar_reconcile_total":
                reconciles[sample.labels["kind"]] += int(sample.value)
            elif sample.name == "aar_experiments":
                phases[sample.labels["phase"]] += int(sample.value)
            elif not sample.labels:
                single[sample.name] = sample.value
    return Counts(requests, reconciles, phases, single["aar_leader"] == 1, int(single["aar_workqueue_depth"]))
