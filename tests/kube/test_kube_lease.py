"""The Lease by which one replica works, on an API server that answers late or gives it to another; and a watch that ends in mid-line."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
from aar_operator.cluster import lease as module
from aar_operator.cluster.client import Client
from aar_operator.cluster.lease import Lease, LeaseLost
from aar_operator.handlers import watching
from kube.plane import Plane
from kube.world import Api


class SlowClient(Client):
    """Answers to its first writes come late."""

    late: list[float] = []  # noqa: RUF012  set by a test
    writes = 0

    async def send(self, method, path, body=None, content="application/json", query=None):
        got = await super().send(method, path, body, content, query)
        if method != "GET":
            SlowClient.writes += 1
            await asyncio.sleep(SlowClient.late.pop(0) if SlowClient.late else 0.0)
        return got


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 1.5)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)


def test_an_answer_that_comes_too_late_gives_no_lead(plane: Plane, api: Api, space: str, quick: None) -> None:
    """The Lease is valid from when it was entered: another may hold it when the answer is there."""

    async def led() -> int:
        SlowClient.late, SlowClient.writes = [2.0], 0
        client = await SlowClient.connect(kubeconfig=str(plane.kubeconfig))
        try:
            await Lease(client, f"{space}-op", "a").acquire()
            return SlowClient.writes
        finally:
            await client.close()

    assert asyncio.run(led()) > 1


def test_one_that_sees_another_lead_stops_at_once(
    plane: Plane, api: Api, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 60.0)  # else it would stop for want of a renewal
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)

    async def lost() -> str:
        client = await Client.connect(kubeconfig=str(plane.kubeconfig))
        lease = Lease(client, f"{space}-op", "a")
        try:
            await lease.acquire()
            spec = {"holderIdentity": "b", "leaseDurationSeconds": 3600}
            patched = await asyncio.to_thread(api.patch, "Lease", f"{space}-op", "aar-operator", {"spec": spec})
            assert patched.is_success
            with pytest.raises(LeaseLost) as caught:
                await lease.keep()
            return str(caught.value)
        finally:
            await client.close()

    assert asyncio.run(lost()).startswith("b holds the Lease")


def test_a_renewal_is_one_request_whatever_became_of_the_lease(plane: Plane, api: Api, space: str, quick: None) -> None:
    async def renewed() -> list[list[str]]:
        seen: list[str] = []
        client = await Client.connect(lambda verb, code, seconds: seen.append(f"{verb} {code}"), str(plane.kubeconfig))
        lease = Lease(client, f"{space}-op", "a")
        told = []
        try:
            await lease.acquire()
            for change in (None, {"metadata": {"labels": {"x": "y"}}}, "delete"):
                if change == "delete":
                    await asyncio.to_thread(api.delete, "Lease", f"{space}-op", "aar-operator")
                elif change is not None:
                    await asyncio.to_thread(api.patch, "Lease", f"{space}-op", "aar-operator", change)
                seen.clear()
                assert await lease._attempt()
                told.append(list(seen))
            return told
        finally:
            await client.close()

    plain, changed, gone = asyncio.run(renewed())
    assert len(plain) == 1, plain
    assert [one.split()[1] for one in changed] == ["409", "200", "200"], changed
    assert [one.split()[1] for one in gone][1:] == ["404", "201"], gone


HALF = """import sys; print('["ADDED", {"kind": "Pod"}]\\n["ADDED", {"kind": ', end="", flush=True)"""


def test_a_watch_that_is_killed_in_mid_line_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "COMMAND", (sys.executable, "-c", HALF))
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0.0)

    async def seen() -> tuple[int, bool]:
        told: list[dict] = []
        watch = watching.Watching(lambda event, manifest: told.append(manifest))
        watch.start()
        end = time.monotonic() + 60
        while len(told) < 2 and watch.alive and time.monotonic() < end:
            await asyncio.sleep(0.02)
        alive = watch.alive
        await watch.stop()
        return len(told), alive

    told, alive = asyncio.run(seen())
    assert (told >= 2, alive) == (True, True)
