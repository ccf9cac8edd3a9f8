"""One server of each kind for the whole run, and an empty store in it for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from neo4j import GraphDatabase

from tests.real.servers import ClickHouse, Kafka, Neo4j, Postgres
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


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    with reachable_folder() as folder, Kafka(folder) as server:
        yield server


@pytest.fixture(scope="session")
def neo4j() -> Iterator[Neo4j]:
    with reachable_folder() as folder, Neo4j(folder) as server:
        yield server


@pytest.fixture
def empty_neo4j(neo4j: Neo4j) -> Neo4j:
    empty(neo4j)
    return neo4j


def empty(server: Neo4j) -> None:
    """Take away all nodes; constraints and indexes stay, because making them takes longer than most tests."""
    with GraphDatabase.driver(server.url) as driver, driver.session() as session:
        # In parts, for a transaction of everything would not fit into the server's memory.
        session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouse]:
    with reachable_folder() as folder, ClickHouse(folder) as server:
        yield server
