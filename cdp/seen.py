"""The memory of event ids: each id counts once, for at least 30 days back, at a cost that stays flat.

Two tables take turns, a period of 30 days each: new ids go to the table of the present period, look-ups ask both,
and when a period ends the older table is emptied at once instead of row by row. What is remembered is the first
position of an id, so that work done again after a crash does not take its own events for repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Integer, Table, bindparam, select, update

from cdp.hot import HotQuery, HotReader, OneOf
from cdp.model import Millis
from cdp.records import chunks, insert_ignoring, metadata, run_rows

PERIOD_MS = 30 * 24 * 3_600_000

_tables = tuple(
    Table(
        f"seen_{name}",
        metadata,
        # 63 bits of the event id: an integer key is half the size of the id, and among 10^9 ids of two periods
        # a new one meets an old one with a probability of 10^-10.
        Column("key", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("item", Integer, nullable=False),
        Column("again", Integer, nullable=False, default=0),
    )
    for name in ("even", "odd")
)
_period = Table(
    "seen_period",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("period", Integer, nullable=False),
)
_PLACES = tuple(
    HotQuery(select(table.c.key, table.c.partition, table.c.offset, table.c.item).where(OneOf(table.c.key, "keys")))
    for table in _tables
)
_AGAIN = tuple(
    update(table).where(table.c.key == bindparam("seen")).values(again=table.c.again + 1) for table in _tables
)


class Place(NamedTuple):
    """Where an event was found: a position in the log, and which item of its hit."""

    partition: int
    offset: int
    item: int


class SeenIds:
    """All calls run in the caller's transaction; nothing is kept in memory between them."""

    def first_places(self, reader: HotReader, keys: Sequence[int]) -> dict[int, Place]:
        """The first place of each key that was seen before."""
        wanted = reader.many(keys)
        return {key: Place(*place) for query in _PLACES for key, *place in query.rows(reader, keys=wanted)}

    def remember(self, connection: Connection, places: Mapping[int, Place], *, at: Millis) -> None:
        """Keep the first place of new keys."""
        table = self._current(connection, at // PERIOD_MS)
        rows = [
            {"key": key, "partition": place.partition, "offset": place.offset, "item": place.item, "again": 0}
            # In the order of the tree, so that each of its pages is met once.
            for key, place in sorted(places.items())
        ]
        run_rows(connection, insert_ignoring(connection, table), rows)

    def count_again(self, connection: Connection, keys: Iterable[int]) -> None:
        """Note that each of these came once more; a key may stand here several times."""
        rows = [{"seen": key} for key in keys]
        for again in _AGAIN if rows else ():
            connection.execute(again, rows)

    def forget(self, connection: Connection, keys: Sequence[int]) -> None:
        """The next event with one of these ids is the first."""
        for table in _tables:
            for chunk in chunks(keys):
                connection.execute(table.delete().where(table.c.key.in_(chunk)))

    def find(self, connection: Connection, key: int) -> tuple[Place, int] | None:
        """The first place of a key and how often it came again."""
        for table in _tables:
            row = connection.execute(select(table).where(table.c.key == key)).one_or_none()
            if row is not None:
                return Place(row.partition, row.offset, row.item), row.again
        return None

    def _current(self, connection: Connection, period: int) -> Table:
        stored = connection.execute(select(_period.c.period)).scalar()
        if stored is None:
            connection.execute(_period.insert().values(id=1, period=period))
        elif period > stored:
            # The table of this parity holds the period before the last; where nothing came for a whole period,
            # the other table is too old as well.
            connection.execute(_tables[period % 2].delete())
            if period > stored + 1:
                connection.execute(_tables[stored % 2].delete())
            connection.execute(update(_period).values(period=period))
        # A clock that steps back writes to the present table still.
        return _tables[max(period, stored or period) % 2]


def key_of(event_id: str) -> int:
    """The 63-bit key of an event id, which is hexadecimal."""
    return int(event_id[:16], 16) >> 1
