"""An answer that is no success, in the API's words."""

from __future__ import annotations


class Refused(Exception):
    """Carries the Status that the caller gets."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    def body(self) -> dict:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }


def no_route() -> Refused:
    return Refused(404, "NotFound", "the server could not find the requested resource")


def expired(version: int, floor: int) -> Refused:
    return Refused(410, "Expired", f"too old resource version: {version} ({floor})")
