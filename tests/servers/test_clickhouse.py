"""The event store on a ClickHouse server: the contract over the wire, and what goes wrong on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from profiles.events_clickhouse import ClickHouseEvents
from tests.contracts.events_contract import EventStoreContract, emptied
from tests.real.servers import ClickHouse


class TestOverTheWire(EventStoreContract):
    """One store for all tests, emptied before each: opening one takes longer than most of them."""

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, clickhouse: ClickHouse) -> Iterator[ClickHouseEvents]:
        store = ClickHouseEvents(clickhouse.url)
        yield store
        store.close()

    @pytest.fixture
    def store(self, opened: ClickHouseEvents) -> ClickHouseEvents:
        return emptied(opened)
