"""`make demo` from a fresh clone with an empty environment: minutes by stage. `python benchmarks/demo.py`."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHASES = ("Pending", "Preparing", "Researching", "Verifying", "Complete")
KEPT = ("PATH", "HOME", "LANG")
"""Of the environment; proxies and package indexes of a machine stand in its pip configuration."""


def main(environ: Mapping[str, str]) -> None:
    """Clone, install, run; a table in Markdown."""
    chosen = {name: value for name, value in environ.items() if name in KEPT or name.startswith("PIP_")}
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "aar"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        begun = time.monotonic()
        subprocess.run(["make", "install"], cwd=clone, env=chosen, check=True, stdout=subprocess.DEVNULL)
        marks = [("install", begun), ("start of the operator", time.monotonic())]
        run = subprocess.Popen(["make", "demo"], cwd=clone, env=chosen, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", flush=True)
            phase = line.split(" ")[0]
            if phase in PHASES and phase not in (name for name, _ in marks):
                marks.append((phase, time.monotonic()))
        code = run.wait()
        ended = time.monotonic()
    print(f"\nexit {code}\n\n| stage | minutes |\n|---|---|")
    for (name, since), (_, until) in zip(marks, [*marks[1:], ("end", ended)], strict=True):
        print(f"| {name.lower()} | {(until - since) / 60:.1f} |")
    print(f"| all | {(ended - begun) / 60:.1f} |")


if __name__ == "__main__":
    main(os.environ)
