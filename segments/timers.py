"""When who is in a segment can change by time alone: one row for each unit that has such a moment.

A row may be too early and is never too late. With every event the windows of a person move on, and fifty rows that
each were written again would cost more than the event itself; so a moment that moved away stays, marked as not exact,
until it comes and the next is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, String, Table, delete, func, select

from cdp.hot import HotQuery, OneOf, hot_reader
from cdp.model import Millis
from cdp.records import chunks, insert_replacing, metadata, run_rows

timer_rows = Table(
    "segment_timers",
    metadata,
    Column("unit", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("timers", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

AT_ONCE = 5_000


class Timer(NamedTuple):
    at: Millis
    exact: bool


Timers = dict[int, Timer]
"""By the number of the segment."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Timers).decode
_columns = (timer_rows.c.unit, timer_rows.c.timers)
_of_units = HotQuery(select(*_columns).where(OneOf(timer_rows.c.unit, "units")))


def timers_among(connection: Connection, units: Collection[str]) -> dict[str, Timers]:
    reader = hot_reader(connection)
    return {
        unit: _decode(timers)
        for chunk in chunks(sorted(units), AT_ONCE)
        for unit, timers in _of_units.rows(reader, units=reader.many(chunk))
    }


def timers_between(connection: Connection, low: str, high: str) -> dict[str, Timers]:
    """Of the units from `low` up to `high`."""
    wanted = select(*_columns).where(timer_rows.c.unit >= low, timer_rows.c.unit < high)
    return {unit: _decode(timers) for unit, timers in connection.execute(wanted)}


class Due(NamedTuple):
    """By unit, the segments whose moment has come there; there may be `more` such."""

    segments: dict[str, frozenset[int]]
    more: bool


def due(connection: Connection, now: Millis, units: int, moments: int, but: Collection[str] = frozenset()) -> Due:
    """Those whose moment came longest ago, but for those in `but`: so many units, or fewer that have so many moments
    together."""
    wanted = select(*_columns).where(timer_rows.c.at <= now).order_by(timer_rows.c.at, timer_rows.c.unit)
    found: dict[str, frozenset[int]] = {}
    for unit, timers in connection.execute(wanted.limit(units + len(but))):
        if unit not in but:
            found[unit] = frozenset(n for n, each in _decode(timers).items() if each.at <= now)
            moments -= len(found[unit])
            if len(found) == units or moments <= 0:
                return Due(found, more=True)
    return Due(found, more=False)


def next_due(connection: Connection) -> Millis | None:
    found: Millis | None = connection.execute(select(func.min(timer_rows.c.at))).scalar()
    return found


def write(connection: Connection, timers: Mapping[str, Timers]) -> None:
    """Replace the timers of these units; without any their rows go."""
    rows = [
        {"unit": unit, "at": min(each.at for each in of_unit.values()), "timers": _encode(of_unit)}
        for unit, of_unit in sorted(timers.items())
        if of_unit
    ]
    run_rows(connection, insert_replacing(connection, timer_rows), rows)
    drop(connection, (unit for unit, of_unit in timers.items() if not of_unit))


def drop(connection: Connection, units: Iterable[str]) -> None:
    for chunk in chunks(sorted(units)):
        connection.execute(delete(timer_rows).where(timer_rows.c.unit.in_(chunk)))


def renewed(timers: Timers, segments: Collection[int], nexts: Mapping[int, Millis], now: Millis) -> Timers | None:
    """The timers of a unit after a look at `now` at these segments, which told when each may change next; None where
    what is stored will do."""
    found = dict(timers)
    for segment in segments:
        old, new = found.get(segment), nexts.get(segment)
        if old is None or old.at <= now or (new is not None and new < old.at):
            if new is None:
                found.pop(segment, None)
            else:
                found[segment] = Timer(new, exact=True)
        elif new != old.at and old.exact:
            found[segment] = Timer(old.at, exact=False)
    return None if found == timers else found
