"""Exit codes by which a method's process tells its supervisor what went wrong."""

from __future__ import annotations

from aar_api import labels

EXIT_BY_REASON = {
    "MethodError": labels.EXIT_METHOD_FAILED,
    "InvalidMethod": 43,
    "InvalidPredictions": 44,
    "NoSpace": 45,
    "OutOfMemory": 46,
    "Internal": 47,
}
REASON_BY_EXIT = {code: reason for reason, code in EXIT_BY_REASON.items()}
