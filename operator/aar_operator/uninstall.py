"""What the chart runs before `helm uninstall` takes the operator away: campaigns hold a finalizer that only the operator takes off.

`python -m aar_operator.uninstall --campaigns=Refuse` stops the uninstallation while there are campaigns; `Delete` deletes them,
while the operator is still there to clean up, and waits until they are gone. So with experiments that hold the finalizer, as those do
whose campaign was forced away. Exit 0: none is left. Exit 1: the sentence on stderr.
"""

from __future__ import annotations

import argparse
import signal
import ssl
import sys
import time
from pathlib import Path

import httpx
from aar_api import labels
from aar_api.errors import AarError

SERVER = "https://kubernetes.default.svc"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token and the certificate authority of its account."""
Held = tuple[str, str, str]
"""(plural, namespace, name) of an object that holds the finalizer."""
POLL_SECONDS = 1.0
TRIES = 20
BUSY = (429, 500, 502, 503, 504)
SHOWN = 10
"""Objects named in a sentence."""


class CampaignsAlive(AarError):
    """The operator cannot go yet."""


def main(arguments: list[str] | None = None) -> int:
    """Parse arguments and run; the exit code."""
    # As process 1 of a pod it would not hear it, and be killed after the whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(prog="aar_operator.uninstall", description=__doc__)
    parser.add_argument("--campaigns", choices=("Refuse", "Delete"), required=True)
    parser.add_argument("--wait-seconds", type=float, default=240)
    parser.add_argument("--server", default=SERVER, help="address of the API server")
    parser.add_argument("--account", type=Path, default=ACCOUNT, help="folder with token and ca.crt")
    options = parser.parse_args(arguments)
    try:
        trusted = ssl.create_default_context(cafile=options.account / "ca.crt")
        bearer = {"Authorization": f"Bearer {(options.account / 'token').read_text().strip()}"}
        with httpx.Client(base_url=options.server, headers=bearer, verify=trusted, trust_env=False) as api:
            run(api, delete=options.campaigns == "Delete", wait_seconds=options.wait_seconds)
    except (AarError, OSError, httpx.HTTPError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write("No campaign is left: the operator can go.\n")
    return 0


def run(api: httpx.Client, *, delete: bool, wait_seconds: float) -> None:
    """Return when no campaign is left.

    Raises:
        CampaignsAlive: there are some, and they shall stay or do not go.
        httpx.HTTPError: the API server does not answer, or refuses.
    """
    alive = held(api)
    if alive and not delete:
        raise CampaignsAlive(
            f"{_named(alive)} would be left with the finalizer {labels.FINALIZER}, which only the operator takes off: delete them first "
            f"(kubectl delete {alive[0][0]} --all --all-namespaces), or let the chart do it with uninstall.campaigns=Delete."
        )
    until = time.monotonic() + wait_seconds
    while alive:
        for plural, namespace, name in alive:
            answer = _ask(api, "DELETE", f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{plural}/{name}")
            if answer.status_code != httpx.codes.NOT_FOUND:
                answer.raise_for_status()
        if time.monotonic() >= until:
            raise CampaignsAlive(
                f"{_named(alive)} were deleted but are not gone after {wait_seconds:g} seconds: the operator's log says what holds "
                "them; run `helm uninstall` again, or raise uninstall.waitSeconds."
            )
        time.sleep(POLL_SECONDS)
        alive = held(api)


def held(api: httpx.Client) -> list[Held]:
    """Every campaign, since the operator may be about to hold it; without any, the experiments that are held: others go with their campaigns."""
    return _found(api, "researchcampaigns") or _found(api, "experiments", labels.FINALIZER)


def _found(api: httpx.Client, plural: str, finalizer: str = "") -> list[Held]:
    """None if the cluster does not know the kind."""
    answer = _ask(api, "GET", f"/apis/{labels.API_VERSION}/{plural}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    metas = [one["metadata"] for one in answer.raise_for_status().json()["items"]]
    kept = [meta for meta in metas if not finalizer or finalizer in meta.get("finalizers", [])]
    return sorted((plural, meta["namespace"], meta["name"]) for meta in kept)


def _ask(api: httpx.Client, method: str, path: str) -> httpx.Response:
    """The answer; an API server that is busy, or has just learned the kind, is asked again."""
    for _ in range(TRIES):
        answer = api.request(method, path)
        if answer.status_code not in BUSY:
            break
        time.sleep(POLL_SECONDS)
    return answer


def _named(alive: list[Held]) -> str:
    what = alive[0][0].removeprefix("research")
    shown = ", ".join(f"{namespace}/{name}" for _, namespace, name in alive[:SHOWN])
    more = f" and {len(alive) - SHOWN} more" if len(alive) > SHOWN else ""
    return f"{len(alive)} {what} ({shown}{more})" if len(alive) != 1 else f"1 {what.removesuffix('s')} ({shown})"


if __name__ == "__main__":
    sys.exit(main())
