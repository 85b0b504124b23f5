"""A day of 2,000 turns: memory, disk and requests stay bounded."""

import time
from pathlib import Path

import pytest
from agent.claudeworld import world
from agent.smallhub import SmallHub

TURNS = 2_000
SCRIPT = """
turns:
  - say: I look at it from another side.
    calls: [{tool: bash, input: {command: 'seq 1 1500; : ${turn}'}}]
  - calls: [{tool: note, input: {section: Beliefs, text: 'Turn ${turn} taught me nothing.'}}]
repeat_from: 0
"""


def resident(pid: int) -> float:
    """MiB of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_two_thousand_turns_are_bounded(tmp_path):
    with world(tmp_path, SCRIPT, SmallHub(model="claude-haiku-5-5", max_turns=TURNS)) as here:
        one = here.process()
        memory = {}
        while one.poll() is None:
            calls = here.fake.calls
            if calls and calls // 100 not in memory:
                memory[calls // 100] = resident(one.pid)
            time.sleep(0.05)
        _, log = one.communicate()
        assert one.returncode == 0, log[-3000:]
        assert here.hub.finished == [f"All {TURNS} turns are used."]
        summaries = sum(record["kind"] == "summary" for record in here.records)
        # Between two summaries the history grows; each half of the day has two of them or more.
        early, late = max(memory[i] for i in range(10)), max(memory[i] for i in range(10, 20))
        print(f"{memory=} {summaries=} largest request {here.fake.largest} disk {size(tmp_path)}")
        assert summaries >= 4, "else nothing was ever made smaller"
        assert late < early + 30, memory
        assert max(memory.values()) < 250, memory
        assert here.fake.largest < 700_000, "bytes of a request"
        assert size(tmp_path) < 25_000_000
