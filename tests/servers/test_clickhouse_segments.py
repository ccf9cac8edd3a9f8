"""Segments over ClickHouse's HTTP wire: the same compiled SQL passes the same tests as in the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from cdp.moments import now_ms
from profiles.events_clickhouse import ClickHouseEvents
from segments.evaluate import Evaluator
from segments.language import parse
from segments.limits import MAX_VALUES
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


def test_a_list_that_no_address_would_take_is_asked_about(clickhouse: ClickHouse) -> None:
    values = [f"{n}{'城' * 200}" for n in range(MAX_VALUES)]
    definition = parse({"v": 1, "entity": "person", "where": {"attr": "city", "op": "in", "value": values}}, tz="UTC")
    with closing(ClickHouseEvents(clickhouse.url)) as store:
        evaluator = Evaluator(store, lambda *_: {})
        assert evaluator.preview(definition, now_ms()).count == 0
        assert evaluator.estimate(definition, now_ms()).count == 0
        assert list(evaluator.evaluate([definition], now_ms())) == []
