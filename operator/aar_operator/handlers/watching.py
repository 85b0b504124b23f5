"""Starts the process that watches, and takes what it tells."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable

from aar_operator.cluster import Manifest

log = logging.getLogger(__name__)
AGAIN_SECONDS = 2.0
"""Before watching anew."""
STOP_SECONDS = 5.0
LINE_BYTES = 8 * 2**20
"""More than any object: etcd takes 1.5 MiB, and JSON may write a character in six."""
COMMAND = (sys.executable, "-m", "aar_operator.handlers.watcher")

Saw = Callable[[str | None, Manifest], None]


class Watching:
    """Watches until it is told to stop; whatever ends the other process, it is begun again."""

    def __init__(self, saw: Saw) -> None:
        self._saw = saw
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def alive(self) -> bool:
        """Whether anything is still watched, or soon again."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        while True:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, limit=LINE_BYTES)
            try:
                await self._take(process)
            finally:
                await _end(process)
            log.warning(
                "Watching ended with exit code %s; it begins again in %.0f s.", process.returncode, AGAIN_SECONDS
            )
            await asyncio.sleep(AGAIN_SECONDS)

    async def _take(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "it was asked for"
        while (told := await _next(process.stdout)) is not None:
            self._saw(*told)
            await asyncio.sleep(0)  # where many lines are there, reading alone would let nothing else run


async def _next(stdout: asyncio.StreamReader) -> tuple[str | None, Manifest] | None:
    """An event and its object; none at the end, also in the middle of a line, as when the process was killed."""
    try:
        line = await stdout.readline()
        event, manifest = json.loads(line) if line else (None, None)
    except ValueError:
        return None
    return None if manifest is None else (event, manifest)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
