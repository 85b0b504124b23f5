"""Certificates of the provider: those of a file and no others, as the file has them now. The provider speaks TLS, with two authorities."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aar_hub.gateway.errors import UpstreamFault
from aar_hub.gateway.key import Key
from aar_hub.gateway.upstream import Upstream
from aar_hub.settings import Settings
from aiohttp import web


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """(certificate, key) of the loopback address, signed by itself."""
    made, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-out", made, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@asynccontextmanager
async def provider(pair: tuple[Path, Path]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path})

    app = web.Application()
    app.router.add_post("/v1/messages", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(*pair)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=own)
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def replace(file: Path, text: str) -> None:
    """As a kubelet does: the file of that name is another one."""
    draft = file.with_name("draft")
    draft.write_text(text)
    os.replace(draft, file)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    ours, theirs = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    trusted = tmp_path / "ca.crt"
    replace(trusted, ours[0].read_text())

    async def run() -> None:
        async with provider(ours) as url:
            settings = Settings(tmp_path, "o", provider_url=url, provider_ca_file=trusted)
            upstream = Upstream(settings, Key("key", None))

            async def status() -> int:
                async with await upstream.send("/v1/messages", {}, b"{}") as answer:
                    await answer.read()
                    return answer.status

            try:
                assert await status() == 200
                replace(trusted, theirs[0].read_text())
                with pytest.raises(UpstreamFault, match=r"cannot be reached .ClientConnectorCertificateError"):
                    await status()
                replace(trusted, "no certificate")
                with pytest.raises(UpstreamFault, match=r"certificates cannot be read from .*ca.crt"):
                    await status()
                trusted.unlink()
                with pytest.raises(UpstreamFault, match=r"certificates cannot be read from .*ca.crt"):
                    await status()
                replace(trusted, ours[0].read_text() + theirs[0].read_text())
                assert await status() == 200
            finally:
                await upstream.close()

    asyncio.run(run())


def test_without_a_file_the_system_decides(tmp_path: Path) -> None:
    async def run() -> None:
        async with provider(certificate(tmp_path, "ours")) as url:
            upstream = Upstream(Settings(tmp_path, "o", provider_url=url), Key("key", None))
            try:
                with pytest.raises(UpstreamFault, match="cannot be reached"):
                    await upstream.send("/v1/messages", {}, b"{}")
            finally:
                await upstream.close()

    asyncio.run(run())
