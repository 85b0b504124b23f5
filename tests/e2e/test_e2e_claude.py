"""LLM researchers on a cluster, with the provider's double in a pod: docs/claude.md, step by step."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
import yaml
from e2e.conftest import EXAMPLES, Campaign, applied
from e2e.world import CHART, PATIENCE, SYSTEM, World, until

SPACE, PORT, KEY = "aar-e2e-fake-llm", 8080, "of-a-double"
SERVE = ("python", "-m", "aar_cli.fake_llm", "--script", "competent", "--host", "0.0.0.0", "--port", str(PORT))


@pytest.fixture(scope="module")
def provider(world: World) -> Iterator[None]:
    """The double, and a chart that knows it."""
    world.kubectl("create", "namespace", SPACE)
    image = world.image("operator")
    world.kubectl("-n", SPACE, "create", "deployment", "fake-llm", f"--image={image}", f"--port={PORT}", "--", *SERVE)
    world.kubectl("-n", SPACE, "expose", "deployment", "fake-llm")
    world.kubectl("-n", SPACE, "rollout", "status", "deployment/fake-llm", "--timeout=110s")
    world.kubectl("-n", SYSTEM, "create", "secret", "generic", "aar-provider", f"--from-literal=api-key={KEY}")
    chosen = {"provider.url": f"http://fake-llm.{SPACE}:{PORT}", "provider.existingSecret": "aar-provider"}
    settings = [word for name, text in chosen.items() for word in ("--set", f"{name}={text}")]
    world.helm("upgrade", "aar", str(CHART), "--reuse-values", *settings)
    world.kubectl("-n", SYSTEM, "rollout", "status", "deployment/aar", "--timeout=110s")
    yield
    world.kubectl("delete", "namespace", SPACE, "--wait=false")
    world.kubectl("-n", SYSTEM, "delete", "secret", "aar-provider")


@pytest.fixture(scope="module")
def team(world: World, space: str, provider: None) -> Iterator[Campaign]:
    with applied(world, space, yaml.safe_load((EXAMPLES / "claude.yaml").read_text())) as one:
        yield one


def test_it_completes_with_methods_of_its_own(world: World, team: Campaign) -> None:
    until("the campaign ended", lambda: team.phase() in ("Complete", "Failed"), PATIENCE, team.about)
    status = team.get()["status"]
    assert status["phase"] == "Complete", status
    submitted = {one["spec"].get("submittedBy", {}).get("researcher") for one in team.experiments()}
    assert {"r0", "r1", "r2"} <= submitted
    written = [one for one in team.experiments() if "snapshot" in one["spec"]["method"]]
    assert any("score" in one["status"] for one in written)
    print(world.kubectl("-n", team.space, "get", "rcamp,rexp"))


def test_every_call_was_paid_for(team: Campaign) -> None:
    spend = team.get()["status"]["spend"]
    assert Decimal(spend["llmUSD"]) > 0
    paid = sum((Decimal(one["status"]["cost"]["totalUSD"]) for one in team.experiments()), Decimal(0))
    assert Decimal(spend["totalUSD"]) == Decimal(spend["llmUSD"]) + paid
    assert Decimal(spend["reservedUSD"]) == 0


def test_what_they_said_can_be_read(world: World, team: Campaign) -> None:
    with (
        world.forwarded(team.part("hub"), "service/hub", 8081) as url,
        httpx.Client(base_url=url, trust_env=False) as person,
    ):
        bearer = {"Authorization": f"Bearer {team.secret('hub', 'hub', 'operatorToken')}"}
        token = person.get("/v1/operator/tokens/viewer/ann", headers=bearer).json()["token"]
        page = person.get("/researchers/r0/transcript", params={"token": token}, follow_redirects=True)
    assert page.status_code == 200
    assert "sure-and-soft" in page.text


def test_no_researcher_holds_the_key(world: World, team: Campaign) -> None:
    key = base64.b64encode(KEY.encode()).decode()
    for part in team.spaces():
        secrets = world.get("-n", part, "secrets")["items"]
        holds = any(key in one.get("data", {}).values() for one in secrets)
        assert holds == part.endswith("-hub"), part
