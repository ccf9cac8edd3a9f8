"""Rows for any table, made of its columns: so that a new table or column is moved in tests too."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Engine, Float, Integer, LargeBinary, String, Table, insert, select

from cdp.records import reading, writing

TEXTS = ("b", "B", "文", "é", "_", "a b", "~", "ａ")
"""Whose order differs between a language and their bytes."""


def fill(engine: Engine, tables: list[Table], rows: int) -> None:
    with writing(engine) as db:
        for table in tables:
            db.execute(insert(table), [{column.name: _cell(column, n) for column in table.c} for n in range(rows)])


def _cell(column: Column[Any], n: int) -> Any:
    if column.nullable and n % 3 == 0:
        return None
    kind = column.type
    if isinstance(kind, Boolean):
        return n % 2 == 1
    if isinstance(kind, Integer):
        return n + (7 << 40 if type(kind).__name__ == "BigInteger" else 7)
    if isinstance(kind, Float):
        return n / 7
    if isinstance(kind, LargeBinary):
        return bytes([0, 255, n % 256, n // 256])
    assert isinstance(kind, String), f"rows of {column} cannot be made: teach this file its type"
    return f"{TEXTS[n % len(TEXTS)]}{n}"


def rows_of(engine: Engine, tables: list[Table]) -> dict[str, list[Any]]:
    """Everything, as the database gives it."""
    with reading(engine) as db:
        return {table.name: sorted(map(repr, db.execute(select(table)))) for table in tables}
