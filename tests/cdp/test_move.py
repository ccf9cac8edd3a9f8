"""`cdp move` between embedded stores: what is copied, what goes on after a kill, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, inspect, select, update

from cdp.cli import run
from cdp.errors import ConfigurationError, Refused
from cdp.lease import lease_rows
from cdp.log_notes import spool_rows
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter
from cdp.migrations import migrate, version_table
from cdp.model import Position
from cdp.moments import now_ms
from cdp.move import log as cdp_log
from cdp.move.choose import choose
from cdp.move.copy import copy
from cdp.move.log_sqlite import SqliteLogContents
from cdp.move.opening import tables_of
from cdp.move.sql import PAGE_ROWS, SqlContents
from cdp.move.stores import Store
from cdp.records import open_engine, reading, writing
from cdp.running import leave_note
from cdp.settings import Settings
from tests.cdp.any_rows import fill, rows_of
from tests.cdp.kept_log import BEGAN, HITS, TRIMMED, all_of, make_log
from tests.real.product import until

SQL = (Store.GRAPH, Store.RECORDS)
Make = Callable[..., Engine]


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """A store of that name with so many rows in each table."""
    engines = []

    def made(name: str, store: Store, rows: int = 0) -> Engine:
        engines.append(engine := open_engine(f"sqlite:///{tmp_path}/{name}.db"))
        migrate(engine, store)
        if rows:
            fill(engine, tables_of(store), rows)
        return engine

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture
def cdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Moves `from` to `to` below the data folder; exit code, answer, stderr."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"XUNJI_{name.upper()}", raising=False)
    monkeypatch.setenv("XUNJI_DATA_DIR", str(tmp_path))

    def call(source: str, target: str, *more: str) -> tuple[int, Any, str]:
        code = run(["move", "--from", source, "--to", target, "--json", *more])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return call


def contents(engine: Engine, store: Store) -> SqlContents:
    return SqlContents(engine, store, tables_of(store))


def unseen(*_: object) -> None:
    pass


@pytest.mark.parametrize("store", SQL)
def test_every_table_of_the_store_is_moved(make: Make, store: Store) -> None:
    there = set(inspect(make("store", store)).get_table_names())
    assert {table.name for table in tables_of(store)} == there - {version_table(store)}
    assert all(table.primary_key for table in tables_of(store))


@pytest.mark.parametrize("store", SQL)
def test_every_cell_arrives_and_a_repeat_copies_nothing(make: Make, store: Store) -> None:
    rows = PAGE_ROWS + 1
    one, other = make("one", store, rows), make("other", store)
    done = copy(contents(one, store), contents(other, store), unseen)
    assert (done.copied, done.equal) == (rows * len(tables_of(store)), True)
    assert {each.source.rows for each in done.tables} == {rows}
    assert rows_of(other, tables_of(store)) == rows_of(one, tables_of(store))
    again = copy(contents(one, store), contents(other, store), unseen)
    assert (again.copied, again.equal) == (0, True)


def test_what_follows_the_graph_in_it_comes_later(make: Make) -> None:
    one, other = make("one", Store.GRAPH, 3), make("other", Store.GRAPH)
    filled: list[str] = []
    copy(contents(one, Store.GRAPH), contents(other, Store.GRAPH), lambda table, *_: filled.append(table))
    assert filled[:3] == ["version", "value", "set_member"]


@pytest.mark.parametrize("store", SQL)
def test_a_move_that_was_cut_off_anywhere_goes_on(make: Make, store: Store) -> None:
    one, other = make("one", store, 5), make("other", store)

    class CutOff(Exception):
        pass

    def cut(*_: object) -> None:
        raise CutOff

    for _ in tables_of(store):
        # After each page one run dies; the next must begin behind it.
        with pytest.raises(CutOff):
            copy(contents(one, store), contents(other, store), cut)
    done = copy(contents(one, store), contents(other, store), cut)
    assert (done.copied, done.equal) == (0, True)
    assert rows_of(other, tables_of(store)) == rows_of(one, tables_of(store))


def test_a_killed_move_goes_on_with_the_same_command(make: Make, cdp: Any, tmp_path: Path) -> None:
    one, other = make("one", Store.GRAPH, 4_000), make("other", Store.GRAPH)
    urls = "sqlite:///{data}/one.db", "sqlite:///{data}/other.db"
    words = [sys.executable, "-m", "cdp", "move", "--from", urls[0], "--to", urls[1]]
    value = next(table for table in tables_of(Store.GRAPH) if table.name == "value")

    def some() -> bool:
        with reading(other) as db:
            return db.execute(select(value).limit(1)).first() is not None

    with subprocess.Popen(words, env=os.environ, stdout=subprocess.DEVNULL) as moving:
        until(some, 60)
        moving.kill()
    tables = tables_of(Store.GRAPH)
    before = rows_of(other, tables)
    assert 0 < sum(map(len, before.values())) < 4_000 * len(tables)
    code, done, _ = cdp(*urls)
    assert (code, done["equal"]) == (0, True)
    assert done["copied"] == 4_000 * len(tables) - sum(map(len, before.values()))
    assert rows_of(other, tables) == rows_of(one, tables)


def test_a_target_with_rows_of_its_own_is_refused_and_left_alone(make: Make, cdp: Any) -> None:
    make("one", Store.GRAPH, 5)
    other = make("other", Store.GRAPH, 5)
    tables = tables_of(Store.GRAPH)
    turn = next(table for table in tables if table.name == "turn")
    with writing(other) as db:
        db.execute(update(turn).where(turn.c.n == 9).values(kind="other"))
    before = rows_of(other, tables)
    code, out, err = cdp("sqlite:///{data}/one.db", "sqlite:///{data}/other.db")
    assert (code, out) == (2, None)
    assert "rows of its own in turn" in err
    assert rows_of(other, tables) == before


def test_rows_that_came_meanwhile_are_a_difference_and_its_table_is_named(
    make: Make, cdp: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make("one", Store.GRAPH, 5)
    version = next(table for table in tables_of(Store.GRAPH) if table.name == "version")
    add = SqlContents.add

    def add_and_write(self: SqlContents, table: str, page: Any) -> None:
        add(self, table, page)
        if table == "turn":
            with writing(one) as db:
                db.execute(insert(version), {"seq": 1 << 50, "at": 0})

    with monkeypatch.context() as patched:
        patched.setattr(SqlContents, "add", add_and_write)
        code, done, _ = cdp("sqlite:///{data}/one.db", "sqlite:///{data}/other.db")
    assert (code, done["equal"]) == (1, False)
    assert [each["table"] for each in done["tables"] if not each["equal"]] == ["version"]
    assert run(["move", "--from", "sqlite:///{data}/other.db", "--to", "sqlite:///{data}/third.db"]) == 0
    assert "set XUNJI_GRAPH_URL" in " ".join(capsys.readouterr().out.split())


def test_nothing_is_moved_while_a_process_serves_the_data_folder(make: Make, cdp: Any, tmp_path: Path) -> None:
    make("one", Store.GRAPH, 5)
    note = tmp_path / "run" / "app.json"
    leave_note(note, url="http://127.0.0.1:1")
    serving = [sys.executable, "-c", "input()", "cdp"]
    with subprocess.Popen(serving, stdin=subprocess.PIPE) as other:
        note.write_text(json.dumps({"pid": other.pid}))
        code, _, err = cdp("sqlite:///{data}/one.db", "sqlite:///{data}/other.db")
        assert code == 2
        assert f"Process {other.pid}" in err
        other.communicate(b"\n")
    assert cdp("sqlite:///{data}/one.db", "sqlite:///{data}/other.db")[0] == 0


def test_nothing_is_moved_while_a_lease_is_held_or_hits_lie_in_a_spool(make: Make, cdp: Any) -> None:
    make("graph", Store.GRAPH, 5)
    records = make("records", Store.RECORDS)
    lease = {"name": "identity", "holder": "host-7", "token": 1, "address": "", "expires_at": now_ms() + 60_000}
    with writing(records) as db:
        db.execute(insert(lease_rows), lease)
    code, _, err = cdp("sqlite:///{data}/graph.db", "sqlite:///{data}/other.db")
    assert (code, "The identity process host-7 is at work" in err) == (2, True)
    with writing(records) as db:
        db.execute(update(lease_rows).values(expires_at=now_ms() - 1))
        db.execute(insert(spool_rows), {"name": "host-7", "waiting": 1_200, "at": 0})
    code, _, err = cdp("sqlite:///{data}/graph.db", "sqlite:///{data}/other.db")
    assert (code, "1,200 hits wait" in err) == (2, True)


@pytest.mark.parametrize(
    ("source", "target", "store"),
    [
        ("sqlite:///{data}/graph.db", "neo4j://neo4j:password@host/neo4j", "graph"),
        ("sqlite:///{data}/graph.db", "postgresql+psycopg://host/db", "graph"),
        ("sqlite:///{data}/records.db", "postgresql+psycopg://host/db", "records"),
        ("sqlite:///{data}/records.db", "sqlite:///{data}/new.db", "records"),
        ("sqlite:///{data}/log/", "kafka://host:9092/xunji", "log"),
        ("kafka://host:9092/xunji", "sqlite:///{data}/new/", "log"),
        ("kafka://host:9092/xunji", "sqlite:///{data}/new", "log"),
        ("chdb:///{data}/events", "clickhouse://host/db", "events"),
        ("neo4j+s://host", "sqlite:///{data}/new.db", "graph"),
    ],
)
def test_two_urls_tell_which_store_is_meant(make: Make, tmp_path: Path, source: str, target: str, store: str) -> None:
    make("graph", Store.GRAPH)
    make("records", Store.RECORDS)
    (tmp_path / "log").mkdir()
    (tmp_path / "events").mkdir()
    assert choose(source.format(data=tmp_path), target.format(data=tmp_path), None) == store


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("sqlite:///{data}/graph.db", "kafka://host:9092/xunji", "these do not meet"),
        ("sqlite:///{data}/graph.db", "sqlite:///{data}/records.db", "these do not meet"),
        ("sqlite:///{data}/graph.db", "sqlite:///{data}/graph.db", "are the same"),
        ("sqlite:///{data}/none.db", "sqlite:///{data}/records.db", "holds no store"),
        ("chdb:///{data}/events", "clickhouse://host/db", "holds no store"),
        ("sqlite:///{data}/both.db", "sqlite:///{data}/new.db", "Say which with --store"),
        ("chdb:///{data}/one", "chdb:///{data}/other", "copy the folder"),
    ],
)
def test_a_pair_that_cannot_be_moved_is_refused_and_nothing_is_made(
    make: Make, tmp_path: Path, source: str, target: str, why: str
) -> None:
    make("graph", Store.GRAPH)
    make("records", Store.RECORDS)
    migrate(make("both", Store.GRAPH), Store.RECORDS)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Refused, match=why):
        choose(source.format(data=tmp_path), target.format(data=tmp_path), None)
    assert sorted(tmp_path.iterdir()) == before


def test_where_a_database_holds_two_stores_the_one_that_is_said_is_moved(make: Make, cdp: Any) -> None:
    both = make("both", Store.GRAPH, 5)
    migrate(both, Store.RECORDS)
    code, done, _ = cdp("sqlite:///{data}/both.db", "sqlite:///{data}/new.db", "--store", "graph")
    assert (code, done["store"], done["copied"]) == (0, "graph", 5 * len(tables_of(Store.GRAPH)))


def test_an_address_of_no_adapter_is_a_wrong_call(cdp: Any) -> None:
    with pytest.raises(ConfigurationError, match="--from is an address of kind 'mysql'"):
        choose("mysql://host/db", "sqlite:///new.db", None)
    assert cdp("mysql://host/db", "sqlite:///new.db")[0] == 2


# The log


def test_a_log_arrives_with_its_offsets_and_trimmed_beginnings(cdp: Any, tmp_path: Path) -> None:
    make_log(tmp_path / "log")
    code, done, _ = cdp("sqlite:///{data}/log/", "sqlite:///{data}/other/")
    assert (code, done["store"], done["equal"]) == (0, "log", True)
    with closing(SqliteLogReader(tmp_path / "log")) as one, closing(SqliteLogReader(tmp_path / "other")) as other:
        before, after = all_of(one), all_of(other)
    assert after == before
    assert (before["starts"], before["ends"]) == ({0: TRIMMED, 1: 70, 2: 0, 3: 0}, {0: HITS, 1: 70, 2: 0, 3: 90})
    assert cdp("sqlite:///{data}/log/", "sqlite:///{data}/other/")[1]["copied"] == 0


def test_a_moved_log_goes_on_where_it_ended(cdp: Any, tmp_path: Path) -> None:
    make_log(tmp_path / "log")
    assert cdp("sqlite:///{data}/log/", "sqlite:///{data}/other/")[0] == 0

    async def append(partition: int) -> Position:
        writer = SqliteLogWriter(tmp_path / "other", partition)
        try:
            return await writer.append(b"new", BEGAN)
        finally:
            await writer.close()

    ends = {0: HITS, 1: 70, 2: 0, 3: 90}
    assert {each: asyncio.run(append(each)).offset for each in ends} == ends
    code, _, err = cdp("sqlite:///{data}/log/", "sqlite:///{data}/other/")
    assert (code, "rows of its own in partition 0" in err) == (2, True)


def test_a_log_is_not_moved_while_a_collector_writes_to_it(cdp: Any, tmp_path: Path) -> None:
    make_log(tmp_path / "log")
    writer = SqliteLogWriter(tmp_path / "log", 3)
    code, _, err = cdp("sqlite:///{data}/log/", "sqlite:///{data}/other/")
    assert (code, "A collector writes to partition 3" in err) == (2, True)
    asyncio.run(writer.close())
    assert cdp("sqlite:///{data}/log/", "sqlite:///{data}/other/")[0] == 0


def test_a_log_that_was_cut_off_anywhere_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdp_log, "PAGE_RECORDS", 64)
    make_log(tmp_path / "log")

    class CutOff(Exception):
        pass

    def cut(table: str, done: int, size: int) -> None:
        cuts.append(done)
        raise CutOff

    cuts: list[int] = []
    with closing(SqliteLogContents(tmp_path / "log")) as one:
        for _ in range(4):
            with closing(SqliteLogContents(tmp_path / "other")) as other, pytest.raises(CutOff):
                copy(one, other, cut)
        assert len(set(cuts)) == 4
        with closing(SqliteLogContents(tmp_path / "other")) as other:
            assert copy(one, other, unseen).equal
