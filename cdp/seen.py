"""The memory of event ids: each id counts once, for at least 30 days back, at a cost that stays flat.

Two tables take turns, a period of 30 days each: new ids go to the table of the present period, look-ups ask both,
and when a period ends the older table is emptied at once instead of row by row. What is remembered is the first
position of an id. It is claimed before the event is stored: so of two workers that meet the same event in two
partitions only one stores it, and work that is done again, by whomever, does not take its own events for repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, Table, bindparam, select, update

from cdp.hot import HotQuery, HotReader, OneOf, hot_reader
from cdp.model import Millis
from cdp.records import chunks, insert_ignoring, metadata, run_rows, writing

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


class Claims(NamedTuple):
    """The first place of each key, and which of the keys had none before."""

    first: dict[int, Place]
    fresh: list[int]


class SeenIds:
    """All calls but `turn` run in the caller's transaction."""

    def __init__(self) -> None:
        self._turned = 0

    def turn(self, engine: Engine, *, at: Millis) -> None:
        """Begin the period of this moment, where nobody did; to be called before `claim`, and costs nothing within a
        period. A clock that steps back changes nothing."""
        period = at // PERIOD_MS
        if period <= self._turned:
            return
        with writing(engine) as connection:
            _begin_period(connection, period)
        self._turned = period

    def claim(self, connection: Connection, places: Mapping[int, Place]) -> Claims:
        """Keep the places of those keys that nobody has seen. A key that was claimed from there before is its again."""
        reader = hot_reader(connection)
        first = self.first_places(reader, list(places))
        # In the order of the tree: each of its pages is met once, and claims of two workers do not lock crosswise.
        fresh = sorted(places.keys() - first.keys())
        rows = [{"key": key, **places[key]._asdict(), "again": 0} for key in fresh]
        if run_rows(connection, insert_ignoring(connection, _present(connection)), rows) < len(rows):
            # Somebody else claimed some of them meanwhile.
            first |= self.first_places(reader, fresh)
            fresh = [key for key in fresh if first[key] == places[key]]
        return Claims({key: first.get(key, place) for key, place in places.items()}, fresh)

    def first_places(self, reader: HotReader, keys: Sequence[int]) -> dict[int, Place]:
        """The first place of each key that was seen before."""
        wanted = reader.many(keys)
        return {key: Place(*place) for query in _PLACES for key, *place in query.rows(reader, keys=wanted)}

    def count_again(self, connection: Connection, keys: Iterable[int]) -> None:
        """Note that each of these came once more; a key may stand here several times."""
        rows = [{"seen": key} for key in sorted(keys)]
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


def _begin_period(connection: Connection, period: int) -> None:
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


def _present(connection: Connection) -> Table:
    """The table of the present period, which nobody ends before this transaction does."""
    period: int = connection.execute(select(_period.c.period)).scalar_one()
    return _tables[period % 2]


def key_of(event_id: str) -> int:
    """The 63-bit key of an event id, which is hexadecimal."""
    return int(event_id[:16], 16) >> 1
