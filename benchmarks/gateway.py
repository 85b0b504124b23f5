"""The hub's gateway beside the LiteLLM proxy, one upstream double for both: `python benchmarks/gateway.py --litellm VENV [--seconds S] [--rounds N]`.

Direct, hub and LiteLLM take turns within every round, so that a busy machine is busy for all; figures are medians over rounds. The double
answers at once, so that what is measured is the gateway. LiteLLM has one worker and no database: it checks a key and counts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODEL = "claude-haiku-5-5"
STREAMS = (1, 16, 64)
DELTAS = 20
AT_LEAST = 2
"""Calls of a caller, however slow its party is."""
PROMPT = "The quick brown fox jumps over the lazy dog. " * 90
"""About 4 kB: a short turn."""
OPERATOR, KEY = "operator", "sk-bench"
USAGE = {"input_tokens": 1000, "output_tokens": DELTAS}
REQUEST = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": PROMPT}]}
BODY = {False: json.dumps(REQUEST).encode(), True: json.dumps(REQUEST | {"stream": True}).encode()}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "stop_reason": "end_turn",
    "stop_sequence": None,
}


# The double: a protocol, not a framework, so that it costs little beside what is measured.


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def answers() -> dict[bool, bytes]:
    whole = json.dumps(MESSAGE | {"content": [{"type": "text", "text": "word " * DELTAS}], "usage": USAGE}).encode()
    start = MESSAGE | {"content": [], "stop_reason": None, "usage": USAGE | {"output_tokens": 1}}
    events = [
        event("message_start", message=start),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ]
    events += [event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "})] * DELTAS
    events += [
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage=USAGE),
    ]
    events.append(event("message_stop"))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in events)
    head = b"HTTP/1.1 200 OK\r\nrequest-id: req_1\r\ncontent-type: "
    return {
        False: head + b"application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(whole), whole),
        True: head + b"text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
    }


class Double(asyncio.Protocol):
    ANSWERS = answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._data = transport, b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = next(
                int(line[15:])
                for line in self._data[:end].split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            if len(self._data) < end + 4 + length:
                return
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            self._transport.write(self.ANSWERS[json.loads(body).get("stream") is True])  # type: ignore[attr-defined]


async def serve_double(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Double, "127.0.0.1", port)
    await server.serve_forever()


# The callers: as bare as the double.


async def caller(port: int, stream: bool, token: str, until: float, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nanthropic-version: 2023-06-01\r\n"
    )
    request = (
        f"{head}content-type: application/json\r\ncontent-length: {len(BODY[stream])}\r\n\r\n".encode() + BODY[stream]
    )
    least = len(took) + AT_LEAST
    while time.perf_counter() < until or len(took) < least:
        began = time.perf_counter()
        writer.write(request)
        await answer(reader)
        took.append(time.perf_counter() - began)
    writer.close()


async def answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"{head.decode()}{(await reader.read(2000)).decode()}")
    if b"content-length:" in head:
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        return
    last = b""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        data = await reader.readexactly(size + 2)
        if size == 0:
            break
        last = (last + data[:-2])[-80:]
    if b"message_stop" not in last:
        raise RuntimeError(f"the stream ended with {last!r}")


async def load(party: dict[str, Any], stream: bool, streams: int, seconds: float) -> tuple[float, float, float, float]:
    """(calls a second, p50, p99 in ms, milliseconds of the party's processor a call)."""
    took: list[float] = []
    pid = party.get("pid")
    used, began = cpu_ms(pid) if pid else 0.0, time.perf_counter()
    await asyncio.gather(
        *(caller(party["port"], stream, token, began + seconds, took) for token in party["tokens"][:streams])
    )
    spent = time.perf_counter() - began
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    cpu = (cpu_ms(pid) - used) / len(took) if pid else 0.0
    return len(took) / spent, cuts[49] * 1000, cuts[98] * 1000, cpu


# The parties.


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def get(url: str, body: Any = None, method: str = "GET") -> bytes:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as found:
        return found.read()  # type: ignore[no-any-return]


@contextmanager
def process(
    command: list[str], ready: str, env: dict[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """(process, seconds until it was ready)."""
    began = time.perf_counter()
    with log.open("wb") as file:
        started = subprocess.Popen(command, env=env, stdout=file, stderr=file)
    try:
        while True:
            if started.poll() is not None:
                raise RuntimeError(log.read_text())
            try:
                get(ready)
                break
            except OSError:
                time.sleep(0.02)
        yield started, time.perf_counter() - began
    finally:
        started.terminate()
        started.wait(60)


def rss(pid: int) -> float:
    """MiB of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_ms(pid: int) -> float:
    """Milliseconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def imports_mib() -> float:
    """MiB that the gateway's libraries add to what the hub imports anyway."""
    script = (
        "import os, sys\nimport sqlalchemy, fsspec, numpy, sklearn, jwt, uvicorn, starlette.applications, prometheus_client, aar_api.wire\n"
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20\n"
        "before = rss()\nimport aiohttp, aar_hub.gateway.prices, httptools\naar_hub.gateway.prices.rates('claude-haiku-5-5', __import__('datetime').datetime.now(__import__('datetime').UTC))\n"
        "print(rss() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment())
    return float(done.stdout)


def environment(**more: str) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path[1:]), "HOME": tempfile.gettempdir(), "PATH": "/usr/bin:/bin", **more}


@contextmanager
def hub(folder: Path, upstream: int) -> Iterator[dict[str, Any]]:
    sandbox, control = free_port(), free_port()
    env = environment(
        AAR_HUB_DATA_DIR=str(folder / "data"),
        AAR_HUB_OPERATOR_TOKEN=OPERATOR,
        AAR_HUB_SANDBOX_PORT=str(sandbox),
        AAR_HUB_OPERATOR_PORT=str(control),
        AAR_HUB_PROVIDER_URL=f"http://127.0.0.1:{upstream}",
        AAR_HUB_PROVIDER_KEY=KEY,
    )
    command = [sys.executable, "-m", "aar_hub.main"]
    with process(command, f"http://127.0.0.1:{sandbox}/healthz", env, folder / "hub.log") as (started, seconds):
        base = f"http://127.0.0.1:{control}/v1/operator"
        idle = rss(started.pid)
        spec = {
            # No task of that size builds in the background: the campaign fails at preparing and its calls go on.
            "task": {"name": "math", "params": {"negatives": "simple", "nLabelled": 20, "nTrain": 40, "nTest": 200}},
            "researchers": {"kind": "claude", "model": MODEL, "count": 64},
            "budget": {"limitUSD": "100000"},
            "evaluation": {"replication": {"topK": 0}},
        }
        get(f"{base}/campaign", {"name": "bench", "namespace": "default", "uid": "u", "spec": spec}, "PUT")
        tokens = [json.loads(get(f"{base}/tokens/researcher/r{i}"))["token"] for i in range(max(STREAMS))]
        time.sleep(20)  # for the task to be built: it is the hub's work, but not the gateway's
        yield {
            "port": sandbox,
            "tokens": tokens,
            "start": seconds,
            "pid": started.pid,
            "idle": idle,
            "built": rss(started.pid),
        }


@contextmanager
def litellm(folder: Path, upstream: int, venv: Path) -> Iterator[dict[str, Any]]:
    port = free_port()
    params = {"model": f"anthropic/{MODEL}", "api_base": f"http://127.0.0.1:{upstream}", "api_key": KEY}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "general_settings": {"master_key": OPERATOR},
    }
    (folder / "litellm.yaml").write_text(json.dumps(settings))  # JSON is YAML
    command = [
        str(venv / "bin" / "litellm"),
        "--config",
        str(folder / "litellm.yaml"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    env = environment(PYTHONPATH="", LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", NO_PROXY="*")
    with process(command, f"http://127.0.0.1:{port}/health/liveliness", env, folder / "litellm.log") as (
        started,
        seconds,
    ):
        yield {
            "port": port,
            "tokens": [OPERATOR] * max(STREAMS),
            "start": seconds,
            "pid": started.pid,
            "idle": rss(started.pid),
        }


def measure(
    parties: dict[str, dict[str, Any]], rounds: int, seconds: float
) -> dict[tuple[bool, int, str], tuple[float, ...]]:
    found: dict[tuple[bool, int, str], list[tuple[float, float, float, float]]] = {}
    for number in range(rounds + 1):  # the first is to warm up
        for stream in (False, True):
            for streams in STREAMS if number else STREAMS[:1]:
                for name, party in parties.items():
                    one = asyncio.run(load(party, stream, streams, seconds if number else seconds / 3))
                    if number:
                        found.setdefault((stream, streams, name), []).append(one)
                        print(
                            number,
                            "stream" if stream else "whole",
                            streams,
                            name,
                            *(round(figure, 2) for figure in one),
                            flush=True,
                        )
    return {key: tuple(statistics.median(column) for column in zip(*rows, strict=True)) for key, rows in found.items()}


def table(figures: dict[tuple[bool, int, str], tuple[float, ...]]) -> Iterator[str]:
    yield "| answer | callers | party | calls/s | p50 ms | p99 ms | added p50 ms | added p99 ms | CPU ms a call | calls/s beside LiteLLM |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for (stream, streams, name), (rate, p50, p99, cpu) in figures.items():
        direct, other = figures[stream, streams, "direct"], figures.get((stream, streams, "litellm"))
        added = [""] * 3 if name == "direct" else [f"{p50 - direct[1]:.2f}", f"{p99 - direct[2]:.2f}", f"{cpu:.2f}"]
        ratio = f"{rate / other[0]:.1f}x" if other and name == "hub" else ""
        cells = [
            "stream" if stream else "whole",
            streams,
            name,
            f"{rate:.0f}",
            f"{p50:.2f}",
            f"{p99:.2f}",
            *added,
            ratio,
        ]
        yield f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--double", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--litellm", type=Path, help="virtual environment with litellm[proxy]; without it only the hub is measured"
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of one party, mode and number of callers in one round"
    )
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.double:
        asyncio.run(serve_double(asked.double))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, upstream = Path(name), free_port()
        double = subprocess.Popen([sys.executable, __file__, "--double", str(upstream)])
        try:
            time.sleep(1)
            with hub(folder, upstream) as ours:
                parties = {"direct": {"port": upstream, "tokens": ["x"] * max(STREAMS)}, "hub": ours}
                if asked.litellm is None:
                    report(parties, measure(parties, asked.rounds, asked.seconds))
                else:
                    with litellm(folder, upstream, asked.litellm) as theirs:
                        parties["litellm"] = theirs
                        report(parties, measure(parties, asked.rounds, asked.seconds))
        finally:
            double.terminate()
            double.wait(10)


def report(parties: dict[str, dict[str, Any]], figures: dict[tuple[bool, int, str], tuple[float, ...]]) -> None:
    print("\n".join(table(figures)))
    for name, party in parties.items():
        if "pid" in party:
            after = rss(party["pid"])
            print(
                f"\n{name}: started in {party['start']:.1f} s; RSS {party['idle']:.0f} MiB idle, {after:.0f} MiB after the load."
            )
    ours = parties["hub"]
    grown, libraries = rss(ours["pid"]) - ours["built"], imports_mib()
    print(
        f"Gateway on top of the hub: {libraries:.0f} MiB of libraries and {grown:.0f} MiB under load, {libraries + grown:.0f} MiB in all."
    )
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
