"""Which of several replicas is at work: the holder of a Lease, as client-go elects it.

A replica judges the holder by its own clock only: a Lease that did not change for as long as it is valid is free. The holder stops
work when it could not renew for RENEW_SECONDS, before another may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from aar_operator.cluster import ClusterError, Conflict, Manifest, Missing
from aar_operator.cluster.client import Client
from aar_operator.cluster.kinds import LEASES

log = logging.getLogger(__name__)
NAME = "aar-operator"
LEASE_SECONDS = 9.0
RENEW_SECONDS = 6.0
RETRY_SECONDS = 2.0
"""After a kill, another replica is at work within the lease and two retries: 13 s."""


class LeaseLost(ClusterError):
    """Another replica may be at work: stop at once."""


@dataclass
class _Observed:
    """The Lease when it last changed, and when that was by our clock."""

    version: str = ""
    at: float = 0.0


class Lease:
    """One replica's view of the Lease."""

    def __init__(self, client: Client, namespace: str, identity: str) -> None:
        self._client, self._namespace, self._identity = client, namespace, identity
        self._observed = _Observed()
        self._held: Manifest | None = None
        self._holder = ""
        """Who held it before the last attempt, as far as that read it."""
        self._renewed = 0.0
        """When the renewal was asked for by which this replica holds it."""

    async def acquire(self) -> None:
        """Wait until this replica holds the Lease. An answer that comes too late gives nothing: it may be another's by then."""
        while True:
            asked = time.monotonic()
            if await self._attempt() and time.monotonic() - asked < RENEW_SECONDS:
                break
            await asyncio.sleep(RETRY_SECONDS)
        self._renewed = asked
        log.info("%s leads.", self._identity)

    async def keep(self) -> None:
        """Renew for as long as that works. What counts is when a renewal was asked for: the server may have entered it then.

        Raises:
            LeaseLost: it did not for RENEW_SECONDS, or another holds it.
        """
        while (left := RENEW_SECONDS - (time.monotonic() - self._renewed)) > 0:
            await asyncio.sleep(min(RETRY_SECONDS, left))
            asked = time.monotonic()
            left = RENEW_SECONDS - (asked - self._renewed)
            try:
                held = await asyncio.wait_for(self._attempt(), max(left, 0.1))
            except TimeoutError:
                break
            if held:
                self._renewed = asked
            elif self._holder not in ("", self._identity):
                raise LeaseLost(
                    f"{self._holder} holds the Lease {self._namespace}/{NAME}: {self._identity} stops work."
                )
        raise LeaseLost(
            f"{self._identity} could not renew the Lease {self._namespace}/{NAME} for {RENEW_SECONDS:.0f} s: it stops work until it "
            "leads again."
        )

    async def release(self) -> None:
        """Let another replica begin at once."""
        if self._held is None:
            return
        body = {**self._held, "spec": {**self._held["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}
        try:
            await self._client.replace(LEASES.path(self._namespace, NAME), body)
        except ClusterError as error:
            log.warning("The Lease was not given back, so another replica begins when it ends: %s", error)

    async def _attempt(self) -> bool:
        """Take or renew the Lease; whether that worked."""
        self._holder = ""
        try:
            self._held = await self._write()
        except ClusterError as error:
            log.info("The Lease was not taken: %s", error)
            return False
        return self._held is not None

    async def _write(self) -> Manifest | None:
        path = LEASES.path(self._namespace, NAME)
        if self._held is not None:
            # As it was written last, as client-go does: a slow API server has to answer once, not twice. Whatever happened to it since is read.
            with contextlib.suppress(Conflict, Missing):
                return await self._client.replace(path, self._body(self._held))
        try:
            there = await self._client.get(path)
        except Missing:
            return await self._client.create(LEASES.path(self._namespace), self._body(None))
        version = there["metadata"]["resourceVersion"]
        if version != self._observed.version:
            self._observed = _Observed(version, time.monotonic())
        spec = there.get("spec", {})
        holder = self._holder = spec.get("holderIdentity") or ""
        valid = float(spec.get("leaseDurationSeconds") or 0)
        if holder and holder != self._identity and time.monotonic() - self._observed.at < valid:
            return None
        try:
            return await self._client.replace(path, self._body(there))
        except Conflict:  # another was faster
            return None

    def _body(self, there: Manifest | None) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = (there or {}).get("spec", {})
        mine = spec.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.name,
            "metadata": {"name": NAME, "namespace": self._namespace} if there is None else there["metadata"],
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(LEASE_SECONDS),
                "acquireTime": spec.get("acquireTime", now) if mine else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine or there is None else 1),
            },
        }
