"""The SQL store that all parts share: one metadata, one way to open it, SQLite or PostgreSQL.

Each domain declares its tables beside the code that uses them, on `metadata`. What must become visible together
(seen ids, outcomes, leads, the position in the log) is written in one transaction of this store.

Both databases keep the same promises: a reader sees one state, and writers take turns, so that what one reads before
it writes is still true when it commits. Batches of several workers are the exception, see `writing`.
"""

from __future__ import annotations

import select
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Insert,
    MetaData,
    Table,
    Update,
    create_engine,
    event,
    literal_column,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, InternalError, OperationalError
from sqlalchemy.sql.compiler import SQLCompiler

from cdp import sqlite_wal
from cdp.errors import StoreUnavailable

metadata = MetaData()

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
PAGE_CACHE_KIB = 65_536
COPIED_ROWS = 3_000
"""After so many rows a thread copies SQLite's write-ahead log back: a row touches two or three pages."""
CHECKPOINT_PAGES = 32_000
"""Of that log, from which on a commit copies it if the thread has not; then all who want to write wait for it."""

POSTGRESQL = {"connect_timeout": "5", "keepalives_idle": "30", "tcp_user_timeout": "30000"}
"""Seconds, and milliseconds for the last, until a server that says nothing counts as away. What the URL says wins."""

ASLEEP_MS = 5_000
"""After so long without a word PostgreSQL ends a transaction that writes the records: its process was stopped, or its
machine, and all others wait for their turn."""
ASLEEP = "25P03"
"""What PostgreSQL calls that when the process wakes up."""

CLOCK: Mapping[str, ColumnElement[int]] = {
    "postgresql": literal_column("CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"),
    "sqlite": literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS BIGINT)"),
}
"""Milliseconds since 1970 by the clock of the database; of SQLite, which has none, by that of its only machine."""

IN_CHUNK = 500
"""Members of one IN list: SQLite takes 32,766 variables at most, and its plans get slower long before."""


def open_engine(url: str) -> Engine:
    """An engine with our settings. SQLite: write-ahead log, and each commit is synced to disk."""
    place = make_url(url)
    return _open_sqlite(place) if place.get_backend_name() == "sqlite" else _open_postgresql(place)


def is_shared(engine: Engine) -> bool:
    """Whether processes of several machines may work on this store."""
    return engine.dialect.name == "postgresql"


def _open_sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transaction handling starts a transaction only at the first write, so that a read
    # before it would not belong to it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")
    # What is deleted is overwritten at once, also by SQLite libraries whose default is another.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another wrote in between; one that
    # says beforehand that it writes waits its turn.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _written_by(connection) else "BEGIN")


def purge_sqlite(url: str, store: str) -> None:
    """Leave nothing of what was deleted in the write-ahead log beside the file. Raises StoreUnavailable."""
    path = make_url(url).database
    if path:
        sqlite_wal.cut(Path(path), store)


def _open_postgresql(url: URL) -> Engine:
    options = {name: value for name, value in POSTGRESQL.items() if name not in url.query}
    engine = create_engine(url, isolation_level="REPEATABLE READ", connect_args=options)
    event.listen(engine, "checkout", _refuse_closed)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    # Bytes that wait on an idle connection are the goodbye of a server that went away since. Seeing them takes
    # microseconds; asking the server, as `pool_pre_ping` does, a round trip.
    if connection.closed:
        raise DisconnectionError
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _begin_postgresql(connection: Connection) -> None:
    # One lock per store, held until the transaction ends. What a statement sees must be as new as the lock, where
    # REPEATABLE READ would show what was there when the wait for it began.
    if store := _written_by(connection):
        shared = "_shared" if connection.get_execution_options().get("together") else ""
        turn = f"SELECT pg_advisory_xact_lock{shared}(hashtext('xunji {store}'))"
        # A commit of the graph, by its one writer, may compute for longer.
        patience = f"SET LOCAL idle_in_transaction_session_timeout = {ASLEEP_MS};" if store == "records" else ""
        connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {patience} {turn}")


def _written_by(connection: Connection) -> str | None:
    """The name of the store that this transaction writes, None where it only reads."""
    store: str | None = connection.get_execution_options().get("writes")
    return store


@contextmanager
def reading(engine: Engine, store: str = "records") -> Iterator[Connection]:
    """A connection that sees one state of the store. Raises StoreUnavailable when it cannot be reached."""
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    except OperationalError as error:
        raise StoreUnavailable(store, str(error.orig)) from error


@contextmanager
def writing(engine: Engine, store: str = "records", *, together: bool = False) -> Iterator[Connection]:
    """A transaction: durable when the block ends, undone when it raises. Raises StoreUnavailable.

    Where the database can, several that are written `together` run beside each other, and beside none of the others:
    for what adds rows and counts, in the order of keys, and relies on nothing that it read but rows it locked.
    """
    try:
        with _turn_to_write(engine) as turn:
            options = {"writes": store, "together": together}
            with engine.connect().execution_options(**options) as connection, connection.begin():
                before = 0 if turn is None else _rows_written(connection)
                yield connection
                rows = 0 if turn is None else _rows_written(connection) - before
            if turn is not None:
                turn.wrote(rows)
    except (OperationalError, InternalError) as error:
        if isinstance(error, InternalError) and getattr(error.orig, "sqlstate", "") != ASLEEP:
            raise
        raise StoreUnavailable(store, str(error.orig)) from error


class _Turn:
    """SQLite has one writer at a time and lets the others poll with growing pauses; threads of this process rather wait
    for a lock, which wakes them at once. What they wrote is copied from the write-ahead log beside them."""

    def __init__(self, engine: Engine) -> None:
        self.lock = Lock()
        # No file is made where one has gone meanwhile.
        self._file = f"{Path(engine.url.database or '').absolute().as_uri()}?mode=rw"
        self._rows = 0
        self._copying = False

    def wrote(self, rows: int) -> None:
        """When they are committed, while it is still one's turn."""
        self._rows += rows
        if self._rows >= COPIED_ROWS and not self._copying:
            self._rows, self._copying = 0, True
            try:
                Thread(target=self._copy_back, name="wal-copying").start()
            except RuntimeError:
                # No thread is to be had. It is tried again after as many rows.
                self._copying = False

    def _copy_back(self) -> None:
        # Where it fails the log grows, and a full disk is met by the next commit.
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._file, 0, isolation_level=None, uri=True)) as db:
            sqlite_wal.copy_back(db)
            with self.lock:
                sqlite_wal.copy_rest(db)
        self._copying = False


_turns: WeakKeyDictionary[Engine, _Turn] = WeakKeyDictionary()


@contextmanager
def _turn_to_write(engine: Engine) -> Iterator[_Turn | None]:
    if engine.dialect.name != "sqlite":
        yield None
        return
    turn = _turns.get(engine) or _turns.setdefault(engine, _Turn(engine))
    with turn.lock:
        yield turn


def _rows_written(connection: Connection) -> int:
    """By this connection to SQLite since it was opened."""
    rows: int = connection.connection.dbapi_connection.total_changes  # type: ignore[union-attr]
    return rows


def insert_ignoring(connection: Connection, table: Table) -> Insert:
    """An insert that leaves a row alone whose key is already there; the result's `rowcount` tells what was new."""
    return _ignoring(connection.dialect.name, table)


@lru_cache
def _ignoring(dialect: str, table: Table) -> Insert:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table).on_conflict_do_nothing()
    # SQLAlchemy says -1 of an insert's rows where it is not asked to keep their number.
    return insert.execution_options(preserve_rowcount=True)


def run_rows(connection: Connection, statement: Insert | Update, rows: Sequence[dict[str, Any]]) -> int:
    """Run a constant statement for each row, all of which have the same keys; how many rows of the table it touched.

    Handed to the driver as they are, because SQLAlchemy's own way costs more per row than SQLite's work. So the
    columns must need no conversion on the way in.
    """
    if not rows:
        return 0
    compiled = _compiled(statement, connection.dialect, tuple(rows[0]))
    if compiled.positiontup is None:
        return connection.exec_driver_sql(compiled.string, list(rows)).rowcount
    fields = itemgetter(*compiled.positiontup)
    return connection.exec_driver_sql(compiled.string, [fields(row) for row in rows]).rowcount


@lru_cache
def _compiled(statement: Insert | Update, dialect: Dialect, keys: tuple[str, ...]) -> SQLCompiler:
    compiled = statement.compile(dialect=dialect, column_keys=keys)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  (narrows the type; `compile` promises no more)
    return compiled


def add_to_counters(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Add each row's `n` to the stored row of the same key, or make that row."""
    run_rows(connection, _adding(connection.dialect.name, table), rows)


@lru_cache
def _adding(dialect: str, table: Table) -> Insert:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    added = {"n": table.c.n + insert.excluded.n}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=added)


@lru_cache
def _replacing(dialect: str, table: Table) -> Insert:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    new = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=new)


def insert_replacing(connection: Connection, table: Table) -> Insert:
    """An insert that takes the place of a row whose key is already there."""
    return _replacing(connection.dialect.name, table)


def chunks(items: Sequence[T], size: int = IN_CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
