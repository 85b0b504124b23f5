"""A hub, a provider's double behind it, and the claude researcher in this process or in one of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from aar_agent.desk import Desk
from aar_agent.hub import Hub
from aar_agent.researchers import claude
from aar_api import labels
from aar_cli.fake_llm import script, server
from aar_cli.fake_llm.server import FakeLLM
from agent.smallhub import SmallHub, serving

LOG = logging.getLogger("test")
ENVIRON = dict(os.environ)
DIGEST = "sha256:" + "b" * 64
OVER = "  - calls: [{tool: finish, input: {reason: done}}]\n  - calls: [{tool: finish, input: {reason: done}}]\n"


@dataclass
class World:
    """What a researcher lives in."""

    hub: SmallHub
    fake: FakeLLM
    url: str
    folder: object

    def run(self, stop=None) -> str:
        """The researcher in this process; why it ended."""
        stop = stop or threading.Event()
        line = Hub(self.url, "secret", stop, patience=5.0)
        try:
            return claude.run(Desk(line, self.folder, stop, LOG), line.brief())
        finally:
            line.close()

    def process(self, **env):
        """The researcher in a process of its own."""
        known = {
            labels.ENV_HUB_URL: self.url, labels.ENV_TOKEN: "secret", labels.ENV_WORK_DIR: str(self.folder), labels.ENV_RESEARCHER: "r0"
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "aar_agent.main"], env={**ENVIRON, **known, **env}, stderr=subprocess.PIPE, text=True
        )

    @property
    def workspace(self):
        return self.folder / "workspace"

    @property
    def records(self):
        """The transcript."""
        path = self.folder / "harness" / "transcript.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def forget_the_end(self):
        """As if the last record had never been written, here and at the hub."""
        path = self.folder / "harness" / "transcript.jsonl"
        path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:-1]))
        path.with_suffix(".copied").unlink()
        self.hub.transcript.clear()

    def results(self, tool):
        """Texts that a tool answered with."""
        return [one["text"] for one in self.records if one["kind"] == "result" and one["tool"] == tool]

    def requests(self):
        """Bodies of the calls that the double remembers."""
        return [seen.body for seen in self.fake.seen]


@contextlib.contextmanager
def world(folder, text, hub=None):
    """A world in which a script is played: a shipped one by name, or the text of one."""
    fake = FakeLLM(script.load(text) if text in script.names() else script.parse(text, "test"))
    hub = hub or SmallHub()
    hub.kind = "claude"
    with server.serving(fake) as provider:
        hub.provider = provider
        with serving(hub) as url:
            yield World(hub, fake, url, folder)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
