"""Who is and was in a segment, and who came and went, for whoever asks: pages of what `segments.live` has written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Select, and_, literal, or_, select, union_all

from cdp import segment_work
from cdp.model import Millis
from cdp.records import chunks, reading
from profiles.store import Cursor
from segments import timers
from segments.book import State, segment_rows
from segments.health import Health, health_of
from segments.stays import Reason, stay_rows
from segments.verdict import Slice

MAX_PAGE = 1_000


class Member(NamedTuple):
    unit: str
    since: Millis


class Crossing(NamedTuple):
    """A unit came in or went out. `cause` is the event that brought it about, None where none did."""

    unit: str
    entered: bool
    at: Millis
    reason: Reason
    cause: str | None


class Membership:
    """Reads of the records store; thread-safe. Segments go by their numbers. Raises StoreUnavailable."""

    def __init__(self, records: Engine) -> None:
        self._records = records

    def members(
        self, segment: int, *, at: Millis | None = None, after: Cursor | None = None, limit: int = MAX_PAGE
    ) -> tuple[list[Member], Cursor | None]:
        """Who is in it now, or was at that moment, newest first, ties by unit; and where the next page begins."""
        here = [stay_rows.c.segment == segment]
        if at is None:
            here.append(stay_rows.c.left_at.is_(None))
        else:
            here += [stay_rows.c.entered_at <= at, or_(stay_rows.c.left_at.is_(None), stay_rows.c.left_at > at)]
        wanted = select(stay_rows.c.unit, stay_rows.c.entered_at.label("at")).where(*here)
        rows = self._page(wanted, stay_rows.c.entered_at, stay_rows.c.unit, after, limit)
        return [Member(row.unit, row.at) for row in rows[:limit]], _next(rows, limit)

    def changes(
        self, segment: int, *, after: Cursor | None = None, limit: int = MAX_PAGE
    ) -> tuple[list[Crossing], Cursor | None]:
        """Who came and went, newest first, ties by unit; and where the next page begins."""
        parts = [
            select(
                stay_rows.c.unit,
                literal(entered).label("entered"),
                at.label("at"),
                reason.label("reason"),
                cause.label("cause"),
            )
            .where(stay_rows.c.segment == segment, at.is_not(None), *_beyond(at, stay_rows.c.unit, after))
            .order_by(at.desc(), stay_rows.c.unit)
            .limit(limit + 1)
            .subquery()
            for entered, at, reason, cause in (
                (True, stay_rows.c.entered_at, stay_rows.c.entered_reason, stay_rows.c.entered_cause),
                (False, stay_rows.c.left_at, stay_rows.c.left_reason, stay_rows.c.left_cause),
            )
        ]
        both = union_all(*(select(part) for part in parts)).subquery()
        with reading(self._records) as connection:
            rows = connection.execute(select(both).order_by(both.c.at.desc(), both.c.unit).limit(limit + 1)).all()
        moved = [Crossing(row.unit, bool(row.entered), row.at, Reason(row.reason), row.cause) for row in rows[:limit]]
        return moved, _next(rows, limit)

    def segments_of(self, unit: str) -> list[dict[str, str]]:
        """The filled segments that a unit is in now, by name: their ids and names."""
        wanted = select(segment_rows.c.id, segment_rows.c.name).join(stay_rows, segment_rows.c.n == stay_rows.c.segment)
        here = stay_rows.c.unit == unit, stay_rows.c.left_at.is_(None), segment_rows.c.state == State.LIVE.value
        with reading(self._records) as connection:
            rows = connection.execute(wanted.where(*here).order_by(segment_rows.c.name))
            return [{"id": row.id, "name": row.name} for row in rows]

    def held(
        self, segment_id: str, units: Collection[str] | None, at: Millis, part: Slice | None = None
    ) -> Mapping[str, Millis]:
        """Who was in it at that moment, all or of these, and since when without interruption; only those from the first
        of `part` up to the second, as text."""
        there = and_(stay_rows.c.entered_at <= at, or_(stay_rows.c.left_at.is_(None), stay_rows.c.left_at > at))
        wanted: Select[Any] = select(stay_rows.c.unit, stay_rows.c.entered_at).join(
            segment_rows, segment_rows.c.n == stay_rows.c.segment
        )
        wanted = wanted.where(segment_rows.c.id == segment_id, there)
        if part is not None:
            wanted = wanted.where(stay_rows.c.unit >= part[0], stay_rows.c.unit < part[1])
        with reading(self._records) as connection:
            if units is None:
                return {row.unit: row.entered_at for row in connection.execute(wanted)}
            found: dict[str, Millis] = {}
            for chunk in chunks(sorted(units)):
                rows = connection.execute(wanted.where(stay_rows.c.unit.in_(chunk)))
                found |= {row.unit: row.entered_at for row in rows}
            return found

    def health(self, segment: int, *, now: Millis) -> Health | None:
        """Where no row and no moment waits to be looked at, what is known is as fresh as can be. What moved the graph
        alone leaves no row: a round, of which there is one a second at least, takes that in."""
        with reading(self._records) as connection:
            found = health_of(connection, segment, now=now)
            if found is None or found.fresh_at is None or _waits(connection, now):
                return found
        return replace(found, fresh_at=now)

    def _page(self, wanted: Select[Any], at: Any, unit: Any, after: Cursor | None, limit: int) -> Sequence[Row[Any]]:
        page = wanted.where(*_beyond(at, unit, after)).order_by(at.desc(), unit).limit(limit + 1)
        with reading(self._records) as connection:
            return connection.execute(page).all()


def _waits(connection: Connection, now: Millis) -> bool:
    moments = (segment_work.next_due(connection), timers.next_due(connection))
    return any(each is not None and each <= now for each in moments)


def _beyond(at: Any, unit: Any, after: Cursor | None) -> list[Any]:
    return [] if after is None else [or_(at < after.at, and_(at == after.at, unit > after.id))]


def _next(rows: Sequence[Row[Any]], limit: int) -> Cursor | None:
    return Cursor(rows[limit - 1].at, rows[limit - 1].unit) if len(rows) > limit else None
