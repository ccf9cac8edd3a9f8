"""The graph moved to Neo4j and to PostgreSQL: it says the same there, goes on the same, and comes back cell by cell."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Engine

from cdp.errors import Refused
from cdp.migrations import migrate
from cdp.move import graph_neo4j, sql
from cdp.move.copy import copy
from cdp.move.graph_neo4j import Neo4jContents
from cdp.move.opening import tables_of
from cdp.move.sql import SqlContents
from cdp.move.stores import Store
from cdp.records import open_engine
from identity.engine import IdentityEngine
from identity.graph_neo4j import Neo4jGraph
from identity.graph_neo4j_rows import ROWS
from identity.graph_sql import SqlGraph
from identity.graph_tables import metadata
from tests.cdp.any_rows import rows_of
from tests.identity.makers import SMALL, identifier
from tests.real.servers import Neo4j
from tests.servers.test_neo4j import a_stream, batches, held

TABLES = tables_of(Store.GRAPH)
Make = Callable[[], Engine]


@pytest.fixture
def make(tmp_path: Any) -> Iterator[Make]:
    """An empty graph in SQLite."""
    engines: list[Engine] = []

    def made() -> Engine:
        engines.append(engine := open_engine(f"sqlite:///{tmp_path}/{len(engines)}.db"))
        migrate(engine, "graph")
        return engine

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_neo4j, "PAGE_ROWS", 30)
    monkeypatch.setattr(sql, "PAGE_ROWS", 30)


def live(engine: IdentityEngine, seed: int, length: int = 120) -> None:
    """Evidence that comes, is taken back, is overruled, and is forgotten."""
    for n, batch in enumerate(batches(a_stream(seed, length))):
        engine.observe(batch)
        if n % 4 == 3:
            engine.retract({batch[0].id: "mistaken"})
        if n == 8:
            engine.block({identifier("phone:3"): "a steward said so"})
    erased = engine.erase(min(engine.members_as_of(engine.version)), "asked to")
    assert erased is not None
    engine.forget(erased, "asked to")


def contents(engine: Engine) -> SqlContents:
    return SqlContents(engine, "graph", TABLES)


def unseen(*_: object) -> None:
    pass


def test_neo4j_has_a_place_for_every_table_and_column() -> None:
    assert [each.table.name for each in ROWS] == [table.name for table in TABLES]
    assert {each.table.name: set(each.columns) for each in ROWS} == {
        name: set(table.columns.keys()) for name, table in metadata.tables.items()
    }


def test_a_graph_says_the_same_in_neo4j_and_comes_back_cell_by_cell(
    make: Make, empty_neo4j: Neo4j, small_pages: None
) -> None:
    one, other = make(), make()
    before = IdentityEngine(SqlGraph(one), SMALL, now=lambda: 5)
    live(before, seed=1)
    assert all(rows for name, rows in rows_of(one, TABLES).items() if name != "meta")
    with closing(Neo4jContents(empty_neo4j.url)) as there:
        done = copy(contents(one), there, unseen)
        assert done.equal
        assert copy(contents(one), there, unseen).copied == 0
        assert copy(there, contents(other), unseen).equal
    assert rows_of(other, TABLES) == rows_of(one, TABLES)
    with closing(Neo4jGraph(empty_neo4j.url)) as graph:
        after = IdentityEngine(graph, SMALL, now=lambda: 5)
        assert held(after) == held(before)
        assert graph.head() == before.graph.head()
        assert [graph.seq_at(at) for at in (4, 5)] == [before.graph.seq_at(at) for at in (4, 5)]
        moved = [graph.moved_since(seq) for seq in range(before.version + 1)]
        assert moved == [before.graph.moved_since(seq) for seq in range(before.version + 1)]
        # And both go on the same.
        live(before, seed=2)
        live(after, seed=2)
        assert held(after) == held(before)


@pytest.mark.parametrize("seed", range(2))
def test_a_graph_that_was_born_in_neo4j_comes_to_sql_and_returns(
    make: Make, empty_neo4j: Neo4j, small_pages: None, seed: int
) -> None:
    one = make()
    with closing(Neo4jGraph(empty_neo4j.url)) as graph, closing(Neo4jContents(empty_neo4j.url)) as there:
        graph.fence(7)
        live(IdentityEngine(graph, SMALL, now=lambda: 5), seed)
        graph.fence(8)
        before = IdentityEngine(graph, SMALL, now=lambda: 5)
        assert copy(there, contents(one), unseen).equal
        moved = SqlGraph(one)
        assert held(IdentityEngine(moved, SMALL, now=lambda: 5)) == held(before)
        assert (moved.head(), moved.policy()) == (graph.head(), graph.policy())
        assert [moved.seq_at(at) for at in (4, 5, 6)] == [graph.seq_at(at) for at in (4, 5, 6)]
        with pytest.raises(Exception, match="lease"):
            moved.fence(7)


def test_a_move_to_neo4j_that_was_cut_off_anywhere_goes_on(make: Make, empty_neo4j: Neo4j, small_pages: None) -> None:
    one = make()
    live(IdentityEngine(SqlGraph(one), SMALL, now=lambda: 5), seed=3)

    class CutOff(Exception):
        pass

    chance = random.Random(1)

    def cut(*_: object) -> None:
        if chance.random() < 0.2:
            raise CutOff

    cuts = 0
    while True:
        with closing(Neo4jContents(empty_neo4j.url)) as there:
            try:
                done = copy(contents(one), there, cut)
                break
            except CutOff:
                cuts += 1
    assert cuts > 3
    assert done.equal


def test_a_graph_with_notes_and_no_commit_yet_keeps_them(make: Make, empty_neo4j: Neo4j) -> None:
    one, other = make(), make()
    SqlGraph(one).fence(4)
    with closing(Neo4jContents(empty_neo4j.url)) as there:
        assert copy(contents(one), there, unseen).equal
        assert copy(there, contents(other), unseen).equal
    with closing(Neo4jGraph(empty_neo4j.url)) as graph:
        assert graph.head().seq == 0
        with pytest.raises(Exception, match="lease"):
            graph.fence(3)
    assert rows_of(other, TABLES) == rows_of(one, TABLES)


def test_a_neo4j_with_a_graph_of_its_own_is_refused_and_left_alone(make: Make, empty_neo4j: Neo4j) -> None:
    one = make()
    live(IdentityEngine(SqlGraph(one), SMALL, now=lambda: 5), seed=1, length=20)
    with closing(Neo4jGraph(empty_neo4j.url)) as graph:
        engine = IdentityEngine(graph, SMALL, now=lambda: 6)
        live(engine, seed=2, length=20)
        before = held(engine)
        with (
            closing(Neo4jContents(empty_neo4j.url)) as there,
            pytest.raises(Refused, match="rows of its own in version"),
        ):
            copy(contents(one), there, unseen)
        assert held(engine) == before
