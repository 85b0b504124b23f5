"""Tokens: a signed claim of who calls, checked against the database for whether it still holds."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import get_args

import jwt
from aar_api.wire import Role

from aar_hub import records
from aar_hub.errors import Refused, Unauthorized
from aar_hub.hub import Hub

ALGORITHM = "HS256"
ROLES: tuple[str, ...] = get_args(Role)
LAB_ROLES = ("lab-fetch", "lab-post", "baseline")


@dataclass(frozen=True)
class Caller:
    """Who calls: a role, and the researcher or experiment it stands for."""

    role: str
    subject: str


def issue(hub: Hub, campaign_uid: str, role: str, subject: str) -> str:
    """The token of a role and subject: no time and no chance in it, so it is the same whenever it is asked for."""
    if role not in ROLES:
        raise Refused("InvalidSpec", f"{role!r} is no role: use one of {', '.join(ROLES)}.")
    experiment = subject if role in LAB_ROLES else ""
    claims = {"campaign": campaign_uid, "role": role, "sub": subject, "experiment": experiment}
    return jwt.encode(claims, hub.keys.derive("tokens"), algorithm=ALGORITHM)


def authenticate(hub: Hub, header: str) -> Caller:
    """Who calls, from an Authorization header.

    Raises:
        Unauthorized: no token, a forged one, or one whose research or experiment has ended.
    """
    caller, campaign_uid = signed(hub, header)
    if caller.role != "operator":
        _check_alive(hub, caller, campaign_uid)
    return caller


def signed(hub: Hub, header: str) -> tuple[Caller, str]:
    """Who a token was made for, and the campaign's UID; whether it still holds is not asked.

    Raises:
        Unauthorized: no token, or a forged one.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Unauthorized", "The request has no token: send the header 'Authorization: Bearer <token>'.")
    if hmac.compare_digest(token.encode(), hub.settings.operator_token.encode()):
        return Caller("operator", "operator"), ""
    try:
        claims = jwt.decode(token, hub.keys.derive("tokens"), algorithms=[ALGORITHM], options={"require": ["sub"]})
    except jwt.InvalidTokenError as error:
        raise Unauthorized(
            "Unauthorized", f"The token is not one of this hub's ({error}): use the one it was started with."
        ) from error
    return Caller(str(claims["role"]), str(claims["sub"])), str(claims["campaign"])


def _check_alive(hub: Hub, caller: Caller, campaign_uid: str) -> None:
    with hub.db.read() as tx:
        campaign = records.find_campaign(tx)
        if campaign is None or campaign.uid != campaign_uid:
            raise Unauthorized("Unauthorized", "The token belongs to another campaign: use the one of this campaign.")
        if caller.role == "researcher" and campaign.stage not in ("preparing", "researching"):
            raise Unauthorized(
                "CampaignFinished", f"Research has ended (stage {campaign.stage}), and the token with it: stop."
            )
        if caller.role in LAB_ROLES:
            found = records.find_experiment(tx, caller.subject)
            if found is None or found.state != "admitted":
                state = "unknown" if found is None else found.state
                raise Unauthorized(
                    "Unauthorized",
                    f"Experiment {caller.subject!r} is {state}: its token is valid only while it runs; stop.",
                )
