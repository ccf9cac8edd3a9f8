"""Records and graph moved to PostgreSQL and back: every cell, whatever the language of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, insert, select, update

from cdp.audit import audit_rows
from cdp.errors import Refused, StoreUnavailable
from cdp.migrations import migrate
from cdp.move import sql
from cdp.move.choose import choose
from cdp.move.copy import copy
from cdp.move.opening import tables_of
from cdp.move.sql import SqlContents
from cdp.move.stores import Store
from cdp.records import open_engine, writing
from collectors.sources import source_rows
from leads.open_leads import open_rows
from tests.cdp.any_rows import fill, rows_of
from tests.real.servers import Postgres
from tests.servers.databases import Databases

SQL = (Store.GRAPH, Store.RECORDS)
ROWS = 60
Make = Callable[..., Engine]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """The store at a URL, which is one in SQLite where none is given."""
    engines: list[Engine] = []

    def made(store: Store, url: str = "") -> Engine:
        engines.append(engine := open_engine(url or f"sqlite:///{tmp_path}/{len(engines)}.db"))
        migrate(engine, store)
        return engine

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "PAGE_ROWS", 25)


@pytest.fixture(scope="module")
def chinese(postgres: Postgres) -> str:
    """A database that puts texts in an order of its own."""
    with psycopg.connect(f"host=127.0.0.1 port={postgres.port} user=postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE chinese TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'zh'")
    return postgres.url_of("chinese")


def contents(engine: Engine, store: Store) -> SqlContents:
    return SqlContents(engine, store, tables_of(store))


def unseen(*_: object) -> None:
    pass


@pytest.mark.parametrize("store", SQL)
def test_every_cell_goes_to_postgresql_and_comes_back(make: Make, chinese: str, store: Store) -> None:
    one, there, other = make(store), make(store, chinese), make(store)
    tables = tables_of(store)
    fill(one, tables, ROWS)
    assert copy(contents(one, store), contents(there, store), unseen).equal
    assert copy(contents(one, store), contents(there, store), unseen).copied == 0
    assert copy(contents(there, store), contents(other, store), unseen).equal
    assert rows_of(other, tables) == rows_of(there, tables) == rows_of(one, tables)


def test_both_stores_go_into_one_database_and_one_of_them_comes_out_of_it(
    make: Make, databases: Databases, tmp_path: Path
) -> None:
    url = databases.empty()
    for store in SQL:
        fill(one := make(store), tables_of(store), 3)
        assert copy(contents(one, store), contents(make(store, url), store), unseen).equal
    with pytest.raises(Refused, match=r"holds graph or records\. Say which with --store"):
        choose(url, f"sqlite:///{tmp_path}/new.db", None)
    assert choose(url, f"sqlite:///{tmp_path}/new.db", Store.GRAPH) is Store.GRAPH
    assert choose(url, "bolt://127.0.0.1", None) is Store.GRAPH


def test_numbers_that_count_up_by_themselves_go_on(make: Make, databases: Databases) -> None:
    one, there = make(Store.RECORDS), make(Store.RECORDS, databases.new("records"))
    fill(one, [audit_rows, open_rows], ROWS)
    assert copy(contents(one, Store.RECORDS), contents(there, Store.RECORDS), unseen).equal
    for engine in (one, there):
        with writing(engine) as db:
            for table in (audit_rows, open_rows):
                last = max(db.execute(select(*table.primary_key)).scalars())
                cells = {each.name: 1 if each.type.python_type is int else "a" for each in table.c}
                del cells[next(iter(table.primary_key)).name]
                assert db.execute(insert(table), cells).inserted_primary_key == (last + 1,)


def test_what_postgresql_cannot_hold_is_said_without_the_row(make: Make, databases: Databases) -> None:
    one, there = make(Store.RECORDS), make(Store.RECORDS, databases.new("records"))
    fill(one, [source_rows], 3)
    with writing(one) as db:
        db.execute(update(source_rows).where(source_rows.c.id.like("%1")).values(id="secret\0" * 20))
    with pytest.raises(Refused, match=r"cannot hold a row of sources: .*NUL") as refused:
        copy(contents(one, Store.RECORDS), contents(there, Store.RECORDS), unseen)
    assert "secret" not in str(refused.value)


def test_a_move_goes_on_after_the_server_was_killed(make: Make, postgres: Postgres, databases: Databases) -> None:
    one, there = make(Store.GRAPH), make(Store.GRAPH, databases.new("graph"))
    fill(one, tables_of(Store.GRAPH), ROWS)
    told = iter(range(1_000))

    def kill(*_: object) -> None:
        if next(told) == 5:
            postgres.kill()

    with pytest.raises(StoreUnavailable):
        copy(contents(one, Store.GRAPH), contents(there, Store.GRAPH), kill)
    postgres.start()
    done = copy(contents(one, Store.GRAPH), contents(there, Store.GRAPH), unseen)
    assert done.equal
    assert 0 < done.copied < ROWS * len(tables_of(Store.GRAPH))
    assert rows_of(there, tables_of(Store.GRAPH)) == rows_of(one, tables_of(Store.GRAPH))
