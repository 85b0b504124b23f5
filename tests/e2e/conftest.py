"""One installation for all tests here, and the quickstart's campaign; both are left as a person would: deleted, uninstalled."""

from __future__ import annotations

import base64
import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.world import HERE, PATIENCE, World, found, until
from needs import lacking

from helm import charttools

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Campaign:
    """A campaign in a namespace of a user."""

    world: World
    space: str
    name: str

    def get(self) -> Any:
        return self.world.get("-n", self.space, "researchcampaign", self.name)

    def phase(self) -> str:
        return str(self.get().get("status", {}).get("phase", ""))

    def condition(self, kind: str) -> dict[str, Any]:
        return next((c for c in self.get().get("status", {}).get("conditions", []) if c["type"] == kind), {})

    def part(self, name: str) -> str:
        """Namespace of a part."""
        return next(one for one in self.spaces() if one.endswith(f"-{name}"))

    def spaces(self) -> list[str]:
        selector = f"aar.dev/campaign={self.name},aar.dev/campaign-namespace={self.space}"
        return [one["metadata"]["name"] for one in self.world.get("namespaces", "-l", selector)["items"]]

    def secret(self, part: str, name: str, key: str) -> str:
        """A value of a Secret of a part."""
        data = self.world.get("-n", self.part(part), "secret", name)["data"]
        return base64.b64decode(data[key]).decode()

    def experiments(self) -> list[dict[str, Any]]:
        found = self.world.get("-n", self.space, "experiments")["items"]
        return [one for one in found if one["spec"]["campaignRef"] == self.name]

    def about(self) -> str:
        pods = [self.world.kubectl("-n", one, "get", "pods") for one in self.spaces()]
        return "\n".join([str(self.get().get("status")), *pods])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == HERE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    here = found()
    if isinstance(here, str):
        lacking("e2e", here)
    if shutil.which("kubectl") is None:
        lacking("e2e", "kubectl is not on PATH.")
    try:
        charttools.helm_path()
    except charttools.NoHelm as reason:
        lacking("e2e", str(reason))
    here.install()
    yield here
    here.helm("uninstall", "aar", "--timeout", "90s")


@pytest.fixture(scope="session")
def space(world: World) -> Iterator[str]:
    """A user's namespace."""
    name = f"aar-e2e-{int(time.time()) % 100000}"
    world.kubectl("create", "namespace", name)
    yield name
    world.kubectl("delete", "namespace", name, "--wait=false")


@contextlib.contextmanager
def applied(world: World, space: str, *manifests: dict[str, Any]) -> Iterator[Campaign]:
    """A campaign, just applied; deleted at the end, if nobody did before."""
    world.kubectl("-n", space, "apply", "-f", "-", given=yaml.safe_dump_all(manifests))
    one = Campaign(world, space, manifests[0]["metadata"]["name"])
    yield one
    world.kubectl("-n", space, "delete", "rcamp", one.name, "--ignore-not-found", "--wait=false")
    until("the campaign is gone", lambda: world.run("-n", space, "get", "rcamp", one.name).returncode, PATIENCE)


@pytest.fixture(scope="session")
def campaign(world: World, space: str) -> Iterator[Campaign]:
    """The quickstart's, as it is in the examples."""
    with applied(world, space, yaml.safe_load((EXAMPLES / "quickstart.yaml").read_text())) as one:
        yield one
