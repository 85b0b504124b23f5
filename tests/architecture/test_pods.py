"""What runs as process 1 of a pod ends when it is asked to: there a signal that nobody handles is not heard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 100.0
STEPS = {
    "fetch": ("aar_lab.fetch", []),
    "post": ("aar_lab.post", []),
    "probe": ("aar_agent.probe", ["--open", "192.0.2.1:1"]),
    "uninstall": ("aar_operator.uninstall", ["--campaigns", "Refuse"]),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_handles_the_signal_that_ends_it(step: str) -> None:
    """The handler is there once `main` has begun, whatever `main` then comes to."""
    module, arguments = STEPS[step]
    code = (
        f"import sys, signal, contextlib\nfrom {module} import main\n"
        "with contextlib.suppress(BaseException):\n"
        f"    main({arguments!r}) if {bool(arguments)} else main()\n"
        "print(callable(signal.getsignal(signal.SIGTERM)))"
    )
    paths = os.pathsep.join(str(ROOT / one) for one in ("crds", "operator", "runner"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr
