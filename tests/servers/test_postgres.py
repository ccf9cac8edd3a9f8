"""The SQL stores on PostgreSQL: their contracts, and what only several writers at once could show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, inspect, select, text

import api.kept
import api.keys
import cdp.audit
import cdp.lease
import cdp.log_notes
import cdp.replays
import cdp.wiring
import leads.open_leads
from cdp.accounting import counter_rows
from cdp.errors import Conflict
from cdp.hot import HotQuery, hot_reading
from cdp.migrations import migrate, version_table
from cdp.model import SourceKind
from cdp.records import add_to_counters, insert_ignoring, metadata, open_engine, reading, writing
from collectors.sources import SourceBook
from identity import graph_sql
from identity.graph import Graph
from identity.graph_sql import SqlGraph
from tests.contracts.graph_contract import GraphContract, OpenGraph
from tests.servers.databases import Databases

DECLARING = (api.keys, api.kept, cdp.audit, cdp.lease, cdp.log_notes, cdp.replays, cdp.wiring, leads.open_leads)
"""Modules that declare tables of the records store, with all that they import."""

COUNTER = {"hour": 0, "source": "shop", "what": "found", "n": 1}
COUNTED = HotQuery(select(counter_rows.c.n))


class TestPostgresGraph(GraphContract):
    @pytest.fixture
    def open_graph(self, databases: Databases) -> Iterator[OpenGraph]:
        url = databases.new("graph")
        opened: list[SqlGraph] = []

        def open_it() -> Graph:
            opened.append(SqlGraph(open_engine(url)))
            return opened[-1]

        yield open_it
        for graph in opened:
            graph.close()


@pytest.fixture
def records(databases: Databases) -> Iterator[Engine]:
    engine = open_engine(databases.new("records"))
    yield engine
    engine.dispose()


def counted(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(counter_rows.c.n)).scalar_one())


@pytest.mark.parametrize(("store", "declared"), [("records", metadata), ("graph", graph_sql.metadata)])
def test_migrating_an_empty_store_gives_the_declared_tables(
    databases: Databases, store: str, declared: MetaData
) -> None:
    engine = open_engine(databases.new(store))
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(store)})
        differences = compare_metadata(context, declared)
    engine.dispose()
    assert differences == []


def test_both_stores_may_lie_in_one_database(databases: Databases) -> None:
    engine = open_engine(databases.empty())
    for store in ("records", "graph") * 2:
        migrate(engine, store)
    with reading(engine) as connection:
        tables = set(inspect(connection).get_table_names())
    engine.dispose()
    revisions = {version_table(store) for store in ("records", "graph")}
    assert tables == {*metadata.tables, *graph_sql.metadata.tables} | revisions


def test_of_several_that_start_at_once_one_migrates_and_the_others_wait(databases: Databases) -> None:
    url = databases.empty()
    engines = [open_engine(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda engine: migrate(engine, "records"), engines))
    with reading(engines[0]) as connection:
        assert connection.execute(select(counter_rows)).all() == []
    for engine in engines:
        engine.dispose()


def test_of_eight_sources_of_one_name_one_is_created(records: Engine) -> None:
    book = SourceBook(records, bytes(32))

    def create(_: int) -> bool:
        try:
            book.create("shop", SourceKind.SITE)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1


def test_counters_of_eight_writers_add_up(records: Engine) -> None:
    def add(_: int) -> None:
        with writing(records) as connection:
            add_to_counters(connection, counter_rows, [COUNTER])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert counted(records) == 80


def test_a_writer_sees_all_that_was_committed_before_its_turn(records: Engine) -> None:
    with ThreadPoolExecutor(1) as pool, writing(records) as first:
        second = pool.submit(read_then_write, records)
        while not waits_for_its_turn(records):
            assert not second.done()
        first.execute(counter_rows.insert(), COUNTER)
        first.commit()
        assert second.result(30) == 1


def read_then_write(engine: Engine) -> int:
    with writing(engine) as connection:
        return len(connection.execute(select(counter_rows)).all())


def waits_for_its_turn(engine: Engine) -> bool:
    with reading(engine) as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(connection.execute(waiting).scalar_one())


def test_one_look_sees_one_state(records: Engine) -> None:
    with writing(records) as connection:
        add_to_counters(connection, counter_rows, [COUNTER])
    with hot_reading(records) as hot, reading(records) as cold:
        before = COUNTED.rows(hot), cold.execute(select(counter_rows.c.n)).all()
        with writing(records) as connection:
            add_to_counters(connection, counter_rows, [COUNTER])
        assert (COUNTED.rows(hot), cold.execute(select(counter_rows.c.n)).all()) == before == ([(1,)], [(1,)])
    assert counted(records) == 2


def test_an_insert_says_how_many_rows_were_new(records: Engine) -> None:
    with writing(records) as connection:
        insert = insert_ignoring(connection, counter_rows)
        rowcounts = [connection.execute(insert, COUNTER).rowcount for _ in range(2)]
    assert rowcounts == [1, 0]
