"""One server of each kind for the whole run, and an empty store in it for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.servers import Postgres
from tests.servers.databases import Databases


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that others may enter, unlike pytest's own: as root, PostgreSQL runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="xunji-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with reachable_folder() as folder, Postgres(folder) as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    return Databases(postgres)
