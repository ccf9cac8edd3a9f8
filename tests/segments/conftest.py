"""A real event store in which one world after the other is asked about, and a product that keeps segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.segments.live_world import World
from tests.segments.store import StoredWorlds, stored_worlds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredWorlds]:
    with stored_worlds(f"chdb://{tmp_path_factory.mktemp('worlds')}") as found:
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    yield opened
    opened.close()
