"""The records, or the graph, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    String,
    Table,
    func,
    insert,
    literal,
    select,
    tuple_,
)
from sqlalchemy.exc import DataError

from cdp.errors import Refused
from cdp.move.contents import Digest, Key, Page, digest_of
from cdp.records import reading, writing

PAGE_ROWS = 500
"""A lead with its trail takes up to 100 KB."""

Rows = list[dict[str, Any]]


class SqlContents:
    """`cdp.move.contents.Contents` of an engine with its schema up to date; the engine is its own until `close`.

    A page is rows by the names of their columns. Numbers that count up by themselves go on after the greatest.
    """

    def __init__(self, engine: Engine, store: str, tables: Sequence[Table]) -> None:
        self._engine, self._store = engine, store
        self._tables = {table.name: table for table in tables}

    def tables(self) -> Mapping[str, int]:
        with self._reading() as db:
            return {
                name: db.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in self._tables.items()
            }

    def last(self, table: str) -> Key | None:
        key = self._key(table)
        newest = select(*key).order_by(*(each.desc() for each in self._ordered(key))).limit(1)
        with self._reading() as db:
            row = db.execute(newest).first()
        return None if row is None else tuple(row)

    def pages(self, table: str, after: Key | None) -> Iterator[Page[Rows]]:
        key = self._key(table)
        wanted = select(self._tables[table]).order_by(*self._ordered(key))
        if after is not None:
            wanted = wanted.where(tuple_(*self._ordered(key)) > _values(key, after))
        for rows in self._read(wanted):
            yield Page(len(rows), [dict(row._mapping) for row in rows])

    def add(self, table: str, page: Page[Rows]) -> None:
        its = self._tables[table]
        try:
            with writing(self._engine, self._store) as db:
                db.execute(insert(its), page.rows)
                _count_on(db, its)
        except DataError as error:
            # The first line says what is wrong with which column; more would print the row.
            why = str(error.orig).partition("\n")[0]
            raise Refused(f"The target cannot hold a row of {table}: {why}.") from None

    def digest(self, table: str, until: Key | None = None) -> Digest:
        wanted = select(self._tables[table])
        if until is not None:
            key = self._key(table)
            wanted = wanted.where(tuple_(*self._ordered(key)) <= _values(key, until))
        return digest_of(tuple(row) for rows in self._read(wanted) for row in rows)

    def close(self) -> None:
        self._engine.dispose()

    def _key(self, table: str) -> list[Column[Any]]:
        return list(self._tables[table].primary_key)

    def _ordered(self, key: Sequence[Column[Any]]) -> list[ColumnElement[Any]]:
        # Texts in the order of their bytes, as in SQLite, where PostgreSQL has whatever the database was made with.
        by_bytes = self._engine.dialect.name == "postgresql"
        return [each.collate("C") if by_bytes and isinstance(each.type, String) else each for each in key]

    def _read(self, wanted: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
        with self._reading() as db:
            yield from db.execution_options(yield_per=PAGE_ROWS).execute(wanted).partitions()

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine, self._store)


def _values(key: Sequence[Column[Any]], values: Key) -> Any:
    return tuple_(*(literal(value, each.type) for each, value in zip(key, values, strict=True)))


def _count_on(db: Connection, table: Table) -> None:
    column = table.autoincrement_column
    if column is not None and db.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, column.name)
        db.execute(select(func.setval(sequence, func.max(column))))
