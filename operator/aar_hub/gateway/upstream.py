"""The provider over HTTP. The connection is kept out of proxies and odd certificates unless the settings name them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping

import aiohttp
from yarl import URL

from aar_hub.gateway.errors import Unheard, UpstreamFault
from aar_hub.gateway.key import Key
from aar_hub.gateway.secrets import Secrets
from aar_hub.gateway.trust import Trust
from aar_hub.settings import Settings

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 900.0
"""Longest gap between two bytes: an answer that is no stream is silent until it is whole; streams send pings."""
HEADERS_OUT = ("anthropic-version", "anthropic-beta", "content-type")
"""What a caller's request passes on; all else is the gateway's to say."""
HEADERS_BACK = ("content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry")
WAITS = {"retry-after": 60, "retry-after-ms": 60_000}
"""The longest wait that is passed back: clients sleep through it, and a researcher that sleeps for hours is lost, whatever comes back before."""
PREFIX_BACK = "anthropic-ratelimit-"
RELAYED = frozenset({400, 404, 413, 422, 429, 529})
"""Refusals that are the caller's to read. Others (a bad key, an unpaid bill, a crash) are between the hub and the provider."""

STALE = (aiohttp.ClientOSError, aiohttp.ClientConnectionResetError, aiohttp.ServerDisconnectedError)
"""A connection kept from an earlier call that the provider closed as this one was sent: tried once more, on another one."""
STALE_SECONDS = 1.0
"""A closed connection shows within a round trip. Who waited longer may have been worked for, and asks again himself."""
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""No byte of the call can have reached the provider."""


class Upstream:
    """Connections to the provider, opened on first use within the running loop."""

    def __init__(self, settings: Settings, key: Key) -> None:
        self._settings, self._key = settings, key
        self._trust = Trust(settings.provider_ca_file)
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None

    async def send(self, path: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Pass a call on; back when the head of the answer is there.

        Raises:
            NoKey: there is no key to send it with.
            UpstreamFault: the provider cannot be reached, or whom to trust cannot be read.
            Unheard: it did not answer.
        """
        out = {name: headers[name] for name in HEADERS_OUT if name in headers}
        # Identity, so that the meter reads what the caller reads.
        out |= {"authorization": f"Bearer {self._key.read()}", "accept-encoding": "identity", "user-agent": "aar-hub"}
        trusted = self._trust.context()
        began = time.monotonic()
        try:
            try:
                return await self._post(path, out, body, trusted)
            except STALE:
                if time.monotonic() - began > STALE_SECONDS:
                    raise
                return await self._post(path, out, body, trusted)
        except NOT_SENT as error:
            raise UpstreamFault(
                f"The provider cannot be reached ({type(error).__name__}): nothing was charged; try again."
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unheard(
                f"The provider took the call and did not answer ({type(error).__name__}): try again."
            ) from error

    async def _post(
        self, path: str, headers: Mapping[str, str], body: bytes, trusted: ssl.SSLContext
    ) -> aiohttp.ClientResponse:
        url = self._urls.get(path) or self._urls.setdefault(path, URL(self._settings.provider_url + path))
        proxy = self._settings.provider_proxy
        # With each call, so that a connection that others vouched for is not used for it.
        post = self._open().post
        return await post(url, data=body, headers=headers, allow_redirects=False, proxy=proxy, ssl=trusted)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def passed_back(answer: aiohttp.ClientResponse, secrets: Secrets) -> dict[str, str]:
    """The headers of an answer that a caller gets. A name that tells a key is none of them."""
    found = {
        name.lower(): secrets.hide_text(value) for name, value in answer.headers.items() if secrets.find(name) is None
    }
    return {
        name: _bounded(name, value)
        for name, value in found.items()
        if name in HEADERS_BACK or name.startswith(PREFIX_BACK)
    }


def _bounded(name: str, value: str) -> str:
    """A wait of at most WAITS, also in place of a date; any other value as it is."""
    if (most := WAITS.get(name)) is None:
        return value
    try:
        return value if float(value) <= most else str(most)
    except ValueError:
        return str(most)
