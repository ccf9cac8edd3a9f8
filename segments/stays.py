"""Who is in a segment, from when to when and why: one row for each stay. `segments.live` alone writes them.

A unit is a person or a lead. Its present stay in a segment has no end. A stay begins at `entered_at` and does not hold
`left_at` any more.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
    update,
)

from cdp.hot import HotQuery, OneOf, hot_reader
from cdp.model import Millis
from cdp.records import chunks, insert_ignoring, metadata, run_rows

stay_rows = Table(
    "segment_stays",
    metadata,
    Column("segment", Integer, primary_key=True, autoincrement=False),
    Column("unit", String(64), primary_key=True),
    Column("entered_at", BigInteger, primary_key=True, autoincrement=False),
    Column("entered_reason", String(12), nullable=False),
    Column("entered_cause", String(64)),
    Column("left_at", BigInteger),
    Column("left_reason", String(12)),
    Column("left_cause", String(64)),
    Column("version", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index("segment_stays_entered", stay_rows.c.segment, stay_rows.c.entered_at, stay_rows.c.unit)
# Present members newest first, and those who left newest first.
Index("segment_stays_left", stay_rows.c.segment, stay_rows.c.left_at, stay_rows.c.entered_at, stay_rows.c.unit)
Index("segment_stays_of_unit", stay_rows.c.unit, stay_rows.c.left_at)

AT_ONCE = 5_000
ERASED = "erased-"
"""How a name begins that stands for somebody who was erased."""


class Reason(StrEnum):
    """Why somebody came into a segment or left it."""

    EVENT = "event"
    TIMER = "timer"
    ATTRIBUTE = "attribute"
    BACKFILL = "backfill"
    DEFINITION = "definition"
    MERGE = "merge"
    SPLIT = "split"
    ERASURE = "erasure"


class Change(NamedTuple):
    """A unit came into a segment, or left it. `segment` is its number; `version` that of its definition; `since` is
    when it came in."""

    segment: int
    unit: str
    entered: bool
    at: Millis
    reason: Reason
    cause: str | None
    version: int
    since: Millis


Members = dict[str, dict[int, Millis]]
"""By unit, the segments that it is in, and since when."""

_open = stay_rows.c.left_at.is_(None)
_of_units = HotQuery(
    select(stay_rows.c.unit, stay_rows.c.segment, stay_rows.c.entered_at).where(_open, OneOf(stay_rows.c.unit, "units"))
)
_of_segment = HotQuery(
    select(stay_rows.c.unit, stay_rows.c.entered_at).where(
        stay_rows.c.segment == bindparam("its_segment"), _open, OneOf(stay_rows.c.unit, "units")
    )
)
_leaving = (
    update(stay_rows)
    .where(
        stay_rows.c.segment == bindparam("its_segment"),
        stay_rows.c.unit == bindparam("its_unit"),
        stay_rows.c.entered_at == bindparam("since"),
    )
    .values(left_at=bindparam("at"), left_reason=bindparam("reason"), left_cause=bindparam("cause"))
)


def members_among(connection: Connection, units: Collection[str]) -> Members:
    """Where these units are now."""
    found: Members = defaultdict(dict)
    reader = hot_reader(connection)
    for chunk in chunks(sorted(units), AT_ONCE):
        for unit, segment, since in _of_units.rows(reader, units=reader.many(chunk)):
            found[unit][segment] = since
    return found


def members_between(connection: Connection, segments: Collection[int], low: str, high: str) -> Members:
    """Who of `low` <= unit < `high` is in these segments now."""
    found: Members = defaultdict(dict)
    wanted: Select[Any] = select(stay_rows.c.unit, stay_rows.c.entered_at)
    for segment in segments:
        of_slice = (stay_rows.c.segment == segment, stay_rows.c.unit >= low, stay_rows.c.unit < high)
        for unit, since in connection.execute(wanted.where(_open, *of_slice)):
            found[unit][segment] = since
    return found


def newest(connection: Connection, segments: Collection[int]) -> Millis:
    """The moment of the last change, 0 where there was none."""
    last = [
        connection.execute(select(func.max(moment)).where(stay_rows.c.segment == segment)).scalar()
        # Each is one step in its index.
        for segment in segments
        for moment in (stay_rows.c.entered_at, stay_rows.c.left_at)
    ]
    return max((each for each in last if each is not None), default=0)


def fitting(connection: Connection, changes: Sequence[Change]) -> list[Change]:
    """Those of these changes that can follow what is written; others are of who looked before another wrote."""
    units: defaultdict[int, list[str]] = defaultdict(list)
    for each in changes:
        units[each.segment].append(each.unit)
    since: dict[tuple[int, str], Millis] = {}
    reader = hot_reader(connection)
    for segment, those in units.items():
        for chunk in chunks(those, AT_ONCE):
            for unit, entered_at in _of_segment.rows(reader, its_segment=segment, units=reader.many(chunk)):
                since[segment, unit] = entered_at
    return [each for each in changes if since.get((each.segment, each.unit)) == (None if each.entered else each.since)]


def write(connection: Connection, changes: Sequence[Change]) -> None:
    """Begin and end stays. Of changes of one unit in one segment each is at another moment."""
    came = [
        {
            "segment": each.segment,
            "unit": each.unit,
            "entered_at": each.at,
            "entered_reason": each.reason.value,
            "entered_cause": each.cause,
            "version": each.version,
        }
        for each in changes
        if each.entered
    ]
    went = [
        {
            "its_segment": each.segment,
            "its_unit": each.unit,
            "since": each.since,
            "at": each.at,
            "reason": each.reason.value,
            "cause": each.cause,
        }
        for each in changes
        if not each.entered
    ]
    run_rows(connection, insert_ignoring(connection, stay_rows), came)
    run_rows(connection, _leaving, went)


def forget(connection: Connection, units: Iterable[str]) -> None:
    """Give the ended stays of these units to names that mean nobody, so that counts of the past stay what they were."""
    for unit in units:
        nobody = f"{ERASED}{secrets.token_hex(12)}"
        mine = stay_rows.c.unit == unit
        nameless = {"entered_cause": None, "left_cause": None}
        connection.execute(update(stay_rows).where(mine, ~_open).values(unit=nobody, **nameless))
        connection.execute(update(stay_rows).where(mine).values(nameless))


def forget_causes(connection: Connection, units: Collection[str]) -> None:
    """The events that moved these units are gone."""
    for chunk in chunks(sorted(units)):
        nameless = {"entered_cause": None, "left_cause": None}
        connection.execute(update(stay_rows).where(stay_rows.c.unit.in_(chunk)).values(nameless))


def drop(connection: Connection, segment: int) -> bool:
    """Take away some stays of a segment; whether there may be more."""
    some = select(stay_rows.c.unit).where(stay_rows.c.segment == segment).limit(AT_ONCE).scalar_subquery()
    gone = connection.execute(delete(stay_rows).where(stay_rows.c.segment == segment, stay_rows.c.unit.in_(some)))
    return gone.rowcount > 0
