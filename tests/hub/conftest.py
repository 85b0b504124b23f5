from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from aar_hub import keys
from hub import gatewayworld
from hub.hubworld import World, spec
from hub.provider import Provider

HERE = Path(__file__).parent
LIMIT_SECONDS = 600
"""A test takes a second or two; on a machine with ten runs a core it has been seen to take a minute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(LIMIT_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def same_draws() -> Iterator[None]:
    """One key for every hub: what a test sees must not hang on which seeds, halves and orders its hub happens to draw."""
    drawn = SimpleNamespace(token_hex=secrets.token_hex, token_bytes=bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "secrets", drawn)
        yield


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes hubs; they are stopped after the test."""
    made: list[World] = []

    def make(folder: str = "hub", cache: Path | None = None, like: World | None = None) -> World:
        made.append(World(tmp_path / folder, cache) if like is None else like.copy(tmp_path / folder))
        return made[-1]

    yield make
    for world in made:
        world.stop()


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stopped hub whose campaign is open and whose first baseline is asked for; tests work on copies."""
    world = World(tmp_path_factory.mktemp("hubs") / "opened")
    try:
        assert world.open(spec()).status_code == 204
        world.until(world.requested)
    finally:
        world.stop()
    return world


@pytest.fixture(scope="session")
def researched(opened: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stopped hub at the start of research; tests work on copies."""
    world = opened.copy(tmp_path_factory.mktemp("hubs") / "researched")
    try:
        world.run(next(iter(world.specs)))
        world.prepare()
        assert world.stage("researching").is_success
        world.events()  # of the baselines; a test hears of its own experiments alone
    finally:
        world.stop()
    return world


@pytest.fixture
def preparing(worlds: Callable[..., World], opened: World) -> World:
    """A hub that waits for its first baseline, of the test's own."""
    return worlds(like=opened)


@pytest.fixture
def world(worlds: Callable[..., World], researched: World) -> World:
    """A hub at the start of research, of the test's own."""
    return worlds(like=researched)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A provider's double for the tests of a file."""
    double = Provider()
    yield double
    double.stop()


@pytest.fixture(scope="module")
def hub(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gatewayworld.Hub]:
    """A hub before it, as a process."""
    started = gatewayworld.Hub(tmp_path_factory.mktemp("gateway"), provider.url)
    assert started.open(gatewayworld.spec()).status_code == 204
    yield started
    started.stop(signal.SIGKILL)  # it may be building its task, which nobody here waits for
