"""Who may use which route of which port."""

from __future__ import annotations

import socket
from typing import Any

import jwt
import pytest
from aar_hub import app
from hub.hubworld import OPERATOR, World

RESEARCHER, FETCH, POST, BASELINE = "researcher", "lab-fetch", "lab-post", "baseline"
ROLES = (RESEARCHER, FETCH, POST, BASELINE, "operator", "viewer")
SANDBOX: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/v1/brief"): (RESEARCHER,),
    ("GET", "/v1/methods"): (RESEARCHER,),
    ("POST", "/v1/snapshots"): (RESEARCHER,),
    ("GET", "/v1/snapshots/{digest}"): (RESEARCHER,),
    ("POST", "/v1/experiments"): (RESEARCHER,),
    ("GET", "/v1/experiments"): (RESEARCHER,),
    ("GET", "/v1/experiments/{name}"): (RESEARCHER,),
    ("POST", "/v1/experiments/{name}/cancel"): (RESEARCHER,),
    ("GET", "/v1/leaderboard"): (RESEARCHER,),
    ("POST", "/v1/findings"): (RESEARCHER,),
    ("GET", "/v1/findings"): (RESEARCHER,),
    ("POST", "/v1/finish"): (RESEARCHER,),
    ("POST", "/v1/transcript"): (RESEARCHER,),
    ("GET", "/v1/lab/assignment"): (FETCH, BASELINE),
    ("GET", "/v1/lab/bundle"): (FETCH, BASELINE),
    ("GET", "/v1/lab/snapshot"): (FETCH, BASELINE),
    ("POST", "/v1/lab/output"): (POST, BASELINE),
    ("POST", "/v1/lab/failure"): (POST, BASELINE),
    ("POST", "/v1/lab/catalogue"): (BASELINE,),
}
CONTROL: dict[tuple[str, str], tuple[str, ...]] = {
    ("PUT", "/v1/operator/campaign"): ("operator",),
    ("GET", "/v1/operator/campaign"): ("operator",),
    ("GET", "/v1/operator/feed"): ("operator",),
    ("GET", "/v1/operator/summary"): ("operator", "viewer"),
    ("PUT", "/v1/operator/stage"): ("operator",),
    ("PUT", "/v1/operator/experiments/{name}/admission"): ("operator",),
    ("PUT", "/v1/operator/experiments/{name}/settlement"): ("operator",),
    ("GET", "/v1/operator/experiments"): ("operator", "viewer"),
    ("GET", "/v1/operator/tokens/{role}/{subject}"): ("operator",),
    ("GET", "/v1/operator/report"): ("operator", "viewer"),
    ("GET", "/v1/operator/llm/calls"): ("operator", "viewer"),
    ("GET", "/v1/operator/llm/calls/{number:int}"): ("operator", "viewer"),
    ("GET", "/v1/operator/researchers/{name}/transcript"): ("operator", "viewer"),
}


def live_tokens(world: World, baseline: str) -> dict[str, str]:
    """A token of every role whose holder is still at work."""
    tokens = {role: world.token(role, "r0") for role in (RESEARCHER, "viewer")} | {"operator": OPERATOR}
    answer = world.admit(baseline)
    tokens |= {BASELINE: answer["fetchToken"]}
    return tokens | {role: world.token(role, baseline) for role in (FETCH, POST)}


def test_every_route_with_every_role(preparing: World) -> None:
    tokens = live_tokens(preparing, next(iter(preparing.specs)))
    ports = ((preparing.running.sandbox, SANDBOX), (preparing.running.control, CONTROL))
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for client, routes in ports:
        for verb, path in routes:
            behind = []
            for role in ROLES:
                headers = {"Authorization": f"Bearer {tokens[role]}"}
                answer = client.request(
                    verb,
                    path.replace("{number:int}", "1").format(digest="d", name="n", role="viewer", subject="s"),
                    headers=headers,
                )
                assert answer.status_code != 401, (role, path)
                if answer.status_code == 403:
                    assert answer.json()["reason"] == "Forbidden"
                else:
                    # Behind the door: a GET is served; a request without its body or object is told so.
                    assert answer.status_code in (200, 400, 404, 409, 422), (role, path, answer.text)
                    behind.append(role)
            found[verb, path] = tuple(behind)
    assert found == SANDBOX | CONTROL


def test_the_tables_name_every_route(preparing: World) -> None:
    for application, routes in ((app.sandbox(preparing.hub), SANDBOX), (app.control(preparing.hub), CONTROL)):
        served: set[tuple[str, str]] = {
            (verb, route.path)  # type: ignore[attr-defined]
            for route in application.routes
            # The gateway answers every verb under /v1/messages itself; its own tests say how.
            if route.path.startswith("/v1/") and not route.path.startswith("/v1/messages")  # type: ignore[attr-defined]
            for verb in route.methods - {"HEAD"}  # type: ignore[attr-defined]
        }
        assert served == set(routes)


def forged(world: World, **changed: Any) -> str:
    claims = {"campaign": "uid-1", "role": "researcher", "sub": "r0", "experiment": ""} | changed.pop("claims", {})
    key = changed.pop("key", world.hub.keys.derive("tokens"))
    return jwt.encode(claims, key, **{"algorithm": "HS256"} | changed)


@pytest.mark.parametrize("route", [*SANDBOX, *CONTROL], ids=lambda route: " ".join(route))
def test_no_route_without_a_token(world: World, route: tuple[str, str]) -> None:
    verb, path = route
    client = world.running.sandbox if route in SANDBOX else world.running.control
    answer = client.request(verb, path.replace("{number:int}", "1"))
    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


@pytest.mark.filterwarnings("ignore:The HMAC key is 32 bytes")  # too short for the algorithm that is forged
def test_tokens_that_are_not_ours(world: World) -> None:
    own = world.token("researcher", "r0")
    head, body, sign = own.split(".")
    bad = {
        "nonsense": "abc",
        "another key": forged(world, key="k" * 32),
        "another algorithm": forged(world, algorithm="HS512"),
        "unsigned": jwt.encode({"campaign": "uid-1", "role": "operator", "sub": "x"}, None, algorithm="none"),
        "another campaign": forged(world, claims={"campaign": "uid-2"}),
        "another body": f"{head}.{forged(world, claims={'sub': 'r1'}).split('.')[1]}.{sign}",
        "cut": f"{head}.{body}.{sign[:-2]}",
        "a longer operator token": OPERATOR + "x",
        "no such experiment": forged(world, claims={"role": "lab-post", "sub": "none"}),
    }
    told = {what: world.call("GET", "/v1/brief", token).status_code for what, token in bad.items()}
    assert set(told.values()) == {401}, told
    basic = world.running.sandbox.get("/v1/brief", headers={"Authorization": f"Basic {own}"})
    assert basic.status_code == 401
    assert world.call("GET", "/v1/brief", own).is_success


def test_no_such_route_or_verb(world: World) -> None:
    for client, verb, path, status in (
        (world.running.sandbox, "GET", "/v1/operator/summary", 404),
        (world.running.control, "GET", "/v1/brief", 404),
        (world.running.sandbox, "DELETE", "/v1/brief", 405),
    ):
        answer = client.request(verb, path, headers={"Authorization": f"Bearer {OPERATOR}"})
        assert answer.status_code == status
        assert path in answer.json()["message"]


def test_open_routes(world: World) -> None:
    assert {client.get("/healthz").text for client in (world.running.sandbox, world.running.control)} == {"ok\n"}
    assert world.running.control.get("/metrics").status_code == 200
    assert world.running.sandbox.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        pytest.param(b"", 422, "the body: Invalid JSON", id="empty"),
        pytest.param(b"{", 422, "the body: Invalid JSON", id="cut"),
        pytest.param(b"[]", 422, "the body: ", id="list"),
        pytest.param(b'{"kind": "result"}', 422, "title: Field required", id="missing"),
        pytest.param(b'{"kind": "rumour", "title": "t"}', 422, "kind: Input should be 'result'", id="no such kind"),
        pytest.param(b'{"kind": "result", "title": "t", "pgr": 0.97}', 422, "pgr: Extra inputs", id="typed-in score"),
        pytest.param(b'{"kind": "result", "title": "\\ud800"}', 422, "the body: Invalid JSON", id="half a character"),
        pytest.param(b'"' + b"x" * (4 << 20) + b'"', 413, "exceeds 4194304 bytes: send less", id="too long"),
    ],
)
def test_bodies(world: World, body: bytes, status: int, told: str) -> None:
    answer = world.call("POST", "/v1/findings", world.token("researcher", "r0"), content=body)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["message"]


def test_a_stranger_cannot_fill_the_memory(world: World) -> None:
    """The answer comes before a body of half a gigabyte does: here it never comes."""
    address = (world.running.sandbox.base_url.host, world.running.sandbox.base_url.port)
    with socket.create_connection(address, timeout=20) as line:
        line.sendall(b"POST /v1/lab/output?index=0 HTTP/1.1\r\nHost: hub\r\nContent-Length: 500000000\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("index", ["", "-1", "x", "1e3", "٣", "9" * 30, "2"])
def test_index_must_be_one_of_the_experiment(world: World, index: str) -> None:
    name = world.researcher().submit().json()["name"]
    world.events()
    token = world.admit(name)["fetchToken"]
    answer = world.call("GET", "/v1/lab/assignment", token, params={"index": index})
    assert answer.status_code == (404 if index == "2" else 400)
    assert answer.json()["message"].endswith("counted from 0." if index == "2" else "add ?index=0 to the address.")
