"""A real event store in which one world after the other is asked about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.segments.store import StoredWorlds, stored_worlds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredWorlds]:
    with stored_worlds(f"chdb://{tmp_path_factory.mktemp('worlds')}") as found:
        yield found
