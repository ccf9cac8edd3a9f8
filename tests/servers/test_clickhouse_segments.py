"""Segments over ClickHouse's HTTP wire: the same compiled SQL passes the same tests as in the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real.servers import ClickHouse
from tests.segments.store import StoredWorlds, stored_worlds
from tests.segments.test_evaluate import (  # noqa: F401
    test_an_explanation_is_what_the_slow_evaluator_says_of_each_leaf,
    test_some_units_are_told_what_everybody_is,
    test_the_compiled_query_says_of_everybody_what_the_slow_evaluator_says,
    test_what_people_ask_agrees_with_the_slow_evaluator,
)


@pytest.fixture(scope="module")
def worlds(clickhouse: ClickHouse) -> Iterator[StoredWorlds]:
    with stored_worlds(clickhouse.url) as found:
        yield found
