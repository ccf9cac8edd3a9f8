"""Constant queries for paths that count microseconds: the same SQL on a bare connection of the engine's pool.

Building, caching and unpacking a statement costs ten times what SQLite needs to answer it. Here a statement is
compiled once per engine and its rows come as the driver gives them, so it must read plain columns only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import ARRAY, BindParameter, Column, ColumnElement, Connection, Engine, Select, String, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from cdp.errors import StoreUnavailable


class HotQuery:
    """A SELECT whose values are all named by `bindparam`. Thread-safe."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._compiled: WeakKeyDictionary[Engine, tuple[str, tuple[str, ...] | None]] = WeakKeyDictionary()

    def rows(self, reader: HotReader, **values: Any) -> list[tuple[Any, ...]]:
        """All rows for these values."""
        sql, names = self._compiled.get(reader.engine) or self._compile(reader.engine)
        reader.cursor.execute(sql, values if names is None else tuple(values[name] for name in names))
        found: list[tuple[Any, ...]] = reader.cursor.fetchall()
        return found

    def _compile(self, engine: Engine) -> tuple[str, tuple[str, ...] | None]:
        compiled = self._statement.compile(engine)
        names = getattr(compiled, "positiontup", None)
        made = (str(compiled), None if names is None else tuple(names))
        self._compiled[engine] = made
        return made


class OneOf(ColumnElement[bool]):
    """Whether the column is one of a parameter's values, however many: the same SQL for all lengths, where an IN list
    would be another statement for each. Give the parameter as `HotReader.many` makes it."""

    inherit_cache = False

    def __init__(self, column: Column[Any], name: str) -> None:
        self.column = column
        self.values: BindParameter[Any] = bindparam(name)


@compiles(OneOf, "sqlite")
def _one_of_json(element: OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = compiler.process(element.column, **options), compiler.process(element.values, **options)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(OneOf, "postgresql")
def _one_of_array(element: OneOf, compiler: SQLCompiler, **options: Any) -> str:
    # Typed, because the driver else names the smallest type that holds the values, and each is another plan.
    its_type = Text() if isinstance(element.column.type, String) else element.column.type
    values: BindParameter[Any] = bindparam(element.values.key, type_=ARRAY(its_type))
    return f"{compiler.process(element.column, **options)} = ANY({compiler.process(values, **options)})"


class HotReader:
    """A cursor in a transaction, for one thread and one look."""

    __slots__ = ("cursor", "engine")

    def __init__(self, engine: Engine, cursor: Any) -> None:
        self.engine = engine
        self.cursor = cursor

    def many(self, values: Collection[Any]) -> Any:
        """The values as one parameter, for `OneOf`."""
        return msgspec.json.encode(values).decode() if self.engine.dialect.name == "sqlite" else list(values)


def hot_reader(connection: Connection) -> HotReader:
    """Reads in a transaction that is under way."""
    return HotReader(connection.engine, connection.connection.cursor())


@contextmanager
def hot_reading(engine: Engine, store: str = "records") -> Iterator[HotReader]:
    """As `cdp.records.reading`, for hot queries. Raises StoreUnavailable when the store cannot be reached."""
    failure = engine.dialect.loaded_dbapi.OperationalError
    try:
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            if engine.dialect.name == "sqlite":
                # The driver begins none by itself as we set it up, and all queries shall see one state.
                cursor.execute("BEGIN")
            yield HotReader(engine, cursor)
        except failure as error:
            if engine.dialect.is_disconnect(error, connection.dbapi_connection, cursor):
                connection.invalidate(error)
            raise
        finally:
            # Given back to the pool, which undoes the transaction.
            connection.close()
    except failure as error:
        raise StoreUnavailable(store, str(error)) from error
