"""Segments over tables that are spread over a cluster, as `test_clickhouse_cluster` has it: the same tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from tests.real.servers import ClickHouse
from tests.segments.store import StoredWorlds, stored_worlds
from tests.segments.test_evaluate import (  # noqa: F401
    test_some_units_are_told_what_everybody_is,
    test_what_people_ask_agrees_with_the_slow_evaluator,
)
from tests.servers.test_clickhouse_cluster import admin, cluster  # noqa: F401


@pytest.fixture(scope="module")
def worlds(cluster: ClickHouse, admin: Client) -> Iterator[StoredWorlds]:  # noqa: F811
    with stored_worlds(cluster.url_of("xunji")) as found:
        yield found
