"""What the loop of the researcher `claude` costs a turn: `python benchmarks/agent.py [--tokens N] [--turns N]`.

A history of a given size is written as a transcript, and the researcher resumes from it. The hub and the provider's double are in
another process, so that what is measured here is the loop and the SDK: rebuilding the request, sending it, reading the stream,
keeping records, asking the hub for news, copying the transcript. CPU seconds are of this process; wall-clock seconds include the
double's own work and whatever else the machine does.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import itertools

from aar_agent.claude import loop as loop_module
from aar_agent.claude.ballast import Ballast
from aar_agent.claude.conversation import Conversation
from aar_agent.claude.transcript import Transcript
from aar_agent.desk import Desk
from aar_agent.hub import Hub
from aar_agent.researchers import claude
from aar_cli.fake_llm import script, server
from aar_cli.fake_llm.server import FakeLLM

from tests.agent.smallhub import SmallHub, serving

CHARS_A_TOKEN = 4
RESULT_CHARS = 2_000
PLAYED = """
turns:
  - say: I look.
    calls: [{tool: read_file, input: {path: NOTEBOOK.md}}]
    input_tokens: 100000
repeat_from: 0
"""
RESULTS = Path(__file__).parent / "results" / "agent.md"


def world(pipe: Connection, turns: int) -> None:
    """The other process: a hub with a double behind it, until it is told to end."""
    hub = SmallHub(kind="claude", max_turns=turns)
    with server.serving(FakeLLM(script.parse(PLAYED, "bench"))) as provider:
        hub.provider = provider
        with serving(hub) as url:
            pipe.send(url)
            pipe.recv()


def history(folder: Path, tokens: int) -> int:
    """A transcript of about that many tokens; its turns."""
    talk = Conversation(Transcript(folder / "harness" / "transcript.jsonl", Ballast(folder / "harness" / "ballast")))
    talk.begin("claude-opus-5-5", "benchmark", "Begin.")
    turns = tokens * CHARS_A_TOKEN // (RESULT_CHARS + 300)
    for i in range(turns):
        call = {"type": "tool_use", "id": f"toolu_{i:024d}", "name": "read_file", "input": {"path": "NOTEBOOK.md"}}
        talk.answer(
            [{"type": "text", "text": "I look."}, call], "tool_use", {"input_tokens": 1, "output_tokens": 1}, f"msg_{i}"
        )
        talk.result(call["id"], "read_file", "word " * (RESULT_CHARS // 5), error=False)
        talk.news(f"[status] turn {i}; 4.00 of 5.00 USD left.")
    talk.transcript.close()
    return turns


def measure(url: str, folder: Path) -> tuple[list[float], list[float]]:
    """CPU and wall-clock seconds of each turn; the first are left out, since they fill the SDK's caches."""
    cpu: list[float] = []
    wall: list[float] = []
    plain = loop_module.Loop.close_turn

    def watched(self: loop_module.Loop) -> None:
        cpu.append(time.process_time())
        wall.append(time.perf_counter())
        plain(self)

    loop_module.Loop.close_turn = watched  # type: ignore[method-assign]
    stop = threading.Event()
    line = Hub(url, "secret", stop)
    try:
        claude.run(Desk(line, folder, stop, logging.getLogger("bench")), line.brief())
    finally:
        line.close()
        loop_module.Loop.close_turn = plain  # type: ignore[method-assign]
    return [b - a for a, b in itertools.pairwise(cpu)][2:], [b - a for a, b in itertools.pairwise(wall)][2:]


def main() -> None:
    """Measure and write the result down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=60)
    options = parser.parse_args()
    rows = []
    for tokens in (1_000, options.tokens):
        with tempfile.TemporaryDirectory(prefix="aar-bench-") as scratch:
            known = history(Path(scratch), tokens)
            ours, theirs = multiprocessing.Pipe()
            child = multiprocessing.get_context("spawn").Process(target=world, args=(theirs, known + options.turns))
            child.start()
            cpu, wall = measure(ours.recv(), Path(scratch))
            ours.send(None)
            child.join()
        rows.append(
            f"| {tokens} | {len(cpu)} | {1e3 * statistics.median(cpu):.1f} | {1e3 * sorted(cpu)[int(0.95 * len(cpu))]:.1f} "
            f"| {1e3 * statistics.median(wall):.1f} |"
        )
        print(rows[-1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    load = os.getloadavg()[0]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        "# The agent's loop\n\n"
        "`python benchmarks/agent.py`; what it measures stands in its docstring. Target: at most 50 ms a turn at 100,000 tokens.\n\n"
        "| history, tokens | turns | CPU ms, median | CPU ms, 95th percentile | wall-clock ms, median |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nPython {platform.python_version()}, {os.cpu_count()} cores, load average {load:.1f} while it ran; "
        f"peak memory of the process {peak:.0f} MiB. CPU seconds hardly depend on the load, wall-clock seconds do.\n"
    )


if __name__ == "__main__":
    main()
