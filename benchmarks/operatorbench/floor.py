"""The floor: a process that watches Experiments and makes of each, at once, the Job that the operator would make. No more.

It has no cache, no queue, no Secret, no finalizer, no status and no hub, and starts nothing again. `python floor.py KUBECONFIG
FOLDER NAMESPACE` reads the Job from standard input and says `watching` when it is.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from aar_api import labels

from benchmarks.operatorbench.bare import Bare, Object
from benchmarks.operatorbench.load import experiments
from tests.kube.world import PLURALS


async def follow(kubeconfig: Path, folder: Path, space: str, pattern: Object) -> None:
    jobs = PLURALS["Job"].format(f"namespaces/{pattern['metadata']['namespace']}/")
    under_way: set[asyncio.Task[Object]] = set()
    async with Bare.connect(kubeconfig, folder) as bare:
        _, version = await bare.items(experiments(space))
        print("watching", flush=True)
        async for one in bare.added(experiments(space), version):
            name = one["metadata"]["name"]
            marks = pattern["metadata"]["labels"] | {labels.EXPERIMENT: name}
            job = pattern | {"metadata": pattern["metadata"] | {"name": f"{name}-1", "labels": marks}}
            task = asyncio.create_task(bare.need("POST", jobs, job))
            under_way.add(task)
            task.add_done_callback(under_way.discard)


if __name__ == "__main__":
    asyncio.run(follow(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.load(sys.stdin)))
