"""Last step: `python -m aar_lab.post` hands the output, or the reason why there is none, to the hub."""

from __future__ import annotations

import signal
import sys

from aar_api import files, labels
from aar_api.errors import AarError
from aar_api.files import Assignment, LabReport
from pydantic import ValidationError

from aar_lab import settings as lab_settings
from aar_lab.hub import Hub
from aar_lab.settings import Settings

_DESCRIBES_METHODS = ("features", "teacher")
"""Roles that come before all research; their Job also tells the hub which methods this image ships."""


def post(settings: Settings, hub: Hub) -> LabReport:
    """Post what the supervisor left; a missing or unreadable report is a failure of the lab itself."""
    report = _report(settings)
    if not report.ok:
        hub.post("/v1/lab/failure", json=report.dump())
        return report
    assignment = Assignment.model_validate_json(settings.assignment_file.read_bytes())
    if assignment.role in _DESCRIBES_METHODS:
        from aar_lab import catalogue  # imports every method

        hub.post("/v1/lab/catalogue", json=[card.dump() for card in catalogue.cards(source=True)])
    hub.post("/v1/lab/output", content=(settings.output_dir / files.OUTPUT).read_bytes())
    return report


def _report(settings: Settings) -> LabReport:
    path = settings.output_dir / files.REPORT
    try:
        return LabReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        return LabReport(
            ok=False, reason="Internal", message=f"The supervisor left no readable report in {path}: {error}"[:2000]
        )


def main() -> int:
    """Exit 0 when an output was posted, EXIT_METHOD_FAILED when a failure was, 1 when neither could be."""
    # As process 1 of a pod it would not hear it, and be killed after the whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        settings = lab_settings.load()
        hub = Hub(settings)
        report = post(settings, hub)
    except (AarError, OSError, ValidationError) as error:
        sys.stderr.write(f"aar_lab.post: {error}\n")
        return 1
    if report.ok:
        return 0
    sys.stderr.write(f"{report.reason}: {report.message}\n")
    return labels.EXIT_METHOD_FAILED


if __name__ == "__main__":
    sys.exit(main())
