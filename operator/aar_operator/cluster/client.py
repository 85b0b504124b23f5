"""Requests to the API server as dictionaries: package `kubernetes` for configuration, authentication and connections, nothing typed.

The answers that are no success, as errors:

ClusterError
├── Conflict      409: it changed since it was read
│   └── Exists    409: the name is taken
├── Missing       404: there is no such object, or no such kind
├── Expired       410: the list cannot be continued
├── Invalid       400, 413, 422: as it is, it will never be accepted
│   └── Denied    401, 403: not allowed, or not now
└── Unavailable   429, 5xx, no answer: later
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from aar_operator.cluster import (
    ClusterError,
    Conflict,
    Denied,
    Exists,
    Expired,
    Invalid,
    Manifest,
    Missing,
    Unavailable,
)

JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
TIMEOUT_SECONDS = 30.0
"""An API server ends a request of its own accord after 60 s; one that is silent for half of that is not well."""
TRIES = 4
FIRST_SECONDS = 0.2
MOST_SECONDS = 5.0
PAGE = 500
CONNECTIONS = 64
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

Kept = Callable[[Manifest], Manifest]
"""What of an object of a list is kept; thousands of whole ones at a time would take memory that is never given back."""
Counted = Callable[[str, int, float], None]
"""Told of every answer: verb, code (0: none), seconds."""


class Client:
    """One API server."""

    def __init__(self, api: kubernetes_client.ApiClient, counted: Counted = lambda verb, code, seconds: None) -> None:
        self._api = api
        self._counted = counted

    @classmethod
    async def connect(cls, counted: Counted = lambda verb, code, seconds: None, kubeconfig: str | None = None) -> Self:
        """Find the API server: by the kubeconfig that is named, else in a pod by its service account, else by $KUBECONFIG.

        Raises:
            ClusterError: neither is there.
        """
        configuration = kubernetes_client.Configuration()
        try:
            if kubeconfig is None and in_cluster():
                kubernetes_config.load_incluster_config(client_configuration=configuration)
            else:
                await kubernetes_config.load_kube_config(kubeconfig, client_configuration=configuration)
        except kubernetes_config.ConfigException as error:
            raise ClusterError(
                f"There is no way to a cluster ({error}): run this in a pod with a service account, or set KUBECONFIG."
            ) from error
        configuration.connection_pool_maxsize = CONNECTIONS
        # Else the session would read ~/.netrc before each request, in a thread; a proxy is named by the kubeconfig.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.retries = None  # retried here, where 429 and Retry-After are understood
        return cls(kubernetes_client.ApiClient(configuration), counted)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(self, path: str, **query: str | int) -> Manifest:
        """Read."""
        return await self.call("GET", path, query=query)

    async def create(self, path: str, body: Manifest, **query: str | int) -> Manifest:
        """Make an object."""
        return await self.call("POST", path, body, query=query)

    async def replace(self, path: str, body: Manifest) -> Manifest:
        """Replace an object."""
        return await self.call("PUT", path, body)

    async def merge(self, path: str, body: Manifest, **query: str | int) -> Manifest:
        """JSON merge patch."""
        return await self.call("PATCH", path, body, MERGE, query)

    async def apply(self, path: str, body: Manifest, manager: str) -> Manifest:
        """Server-side apply; what another manager had of the same fields becomes ours."""
        return await self.call("PATCH", path, body, APPLY, {"fieldManager": manager, "force": "true"})

    async def delete(self, path: str, uid: str | None) -> Manifest:
        """Delete that one object and, in the background, what it owns."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self.call("DELETE", path, options)

    async def items(self, path: str, selector: str = "", keep: Kept = dict) -> tuple[list[Manifest], int]:
        """All objects of a collection, of each what is to be kept, and the version of the list; one that expires between two pages
        is begun again.
        """
        for _ in range(TRIES - 1):
            try:
                return await self._pages(path, selector, keep)
            except Expired:
                continue
        return await self._pages(path, selector, keep)

    async def _pages(self, path: str, selector: str, keep: Kept) -> tuple[list[Manifest], int]:
        found: list[Manifest] = []
        query: dict[str, str | int] = {"limit": PAGE} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self.get(path, **query)
            found += map(keep, page["items"])
            more = page["metadata"].get("continue")
            if not more:
                return found, int(page["metadata"]["resourceVersion"])
            query["continue"] = more

    async def call(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content: str = JSON,
        query: dict[str, str | int] | None = None,
    ) -> Manifest:
        """One request; what may pass is tried again a few times. Every request of ours may be sent twice.

        Raises:
            ClusterError: see above.
        """
        for number in range(TRIES):
            try:
                return await self.send(method, path, body, content, query)
            except Unavailable as error:
                if number == TRIES - 1:
                    raise
                wait = error.after if error.after is not None else FIRST_SECONDS * 2.0**number
                await asyncio.sleep(min(wait, MOST_SECONDS) * random.uniform(0.8, 1.2))
        raise AssertionError("unreachable: the last try returns or raises")

    async def send(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content: str = JSON,
        query: dict[str, str | int] | None = None,
    ) -> Manifest:
        """One request, once."""
        headers = {"Accept": JSON, "Content-Type": content}
        for setting in (await self._api.configuration.auth_settings()).values():
            if setting["value"]:
                headers[setting["key"]] = setting["value"]
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        began, code = time.monotonic(), 0
        try:
            answer = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS)
            )
            code = answer.status
            data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"The API server does not answer {method} {path} ({error!r}).") from error
        finally:
            self._counted(verb(method, content), code, time.monotonic() - began)
        if code >= 400:
            raise _error(code, data, answer.getheader("Retry-After"))
        got: Manifest = json.loads(data)
        return got


def in_cluster() -> bool:
    """Whether this is a pod with a service account."""
    return SERVICE_ACCOUNT.exists()


def verb(method: str, content: str) -> str:
    """What a request does, as a word of a closed list."""
    if method == "PATCH":
        return "apply" if content == APPLY else "patch"
    return {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}[method]


def _error(code: int, data: bytes, retry_after: str | None) -> ClusterError:
    try:
        status: Any = json.loads(data)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    message = str(status.get("message") or data[:500].decode(errors="replace") or f"HTTP {code}")
    if code == 404:
        return Missing(message)
    if code == 409:
        return Exists(message) if status.get("reason") == "AlreadyExists" else Conflict(message)
    if code == 410:
        return Expired(message)
    if code in (401, 403):
        return Denied(message)
    if code == 429 or code >= 500:
        after = str(retry_after or (status.get("details") or {}).get("retryAfterSeconds") or "")
        return Unavailable(message, float(after) if after.isdigit() else None)
    return Invalid(message)
