"""What may have changed who is in a segment: a row in the transaction that made it true, until somebody has looked.

`segments.live` is who looks; it takes the rows away in the transaction that writes what came of them. So nothing is
missed whatever dies in between, and looking twice changes nothing.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, LargeBinary, Row, Table, delete, func, select

from cdp.model import Event, Millis, PersonId, SetId
from cdp.records import chunks, metadata, reading

work_rows = Table(
    "segment_work",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("work", LargeBinary, nullable=False),
)


class Happened(NamedTuple):
    """What segments can see of an event: whose set, when, which, its name, and the traits that it changed ('' where
    it deleted all)."""

    set: SetId
    at: Millis
    id: str
    name: str
    traits: Sequence[str]


class Stored(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Events came."""

    events: list[Happened]


class Captured(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Leads came, changed, or went, each of a person by this set; once more with 0 where it is nobody's any more."""

    leads: list[tuple[str, SetId]]


class Erased(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A person was erased who had these names, and its leads; events of these sets are gone."""

    persons: list[PersonId]
    leads: list[str]
    sets: list[SetId]


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Units came into segments or left them, by the numbers of these."""

    units: dict[int, list[str]]


class Moved(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Events of these persons, and of these sets, were, or will be, another's; of anybody, where none is named. Those
    who are `late` were looked at before the row of what moved them came."""

    persons: list[PersonId]
    sets: list[SetId] = []
    late: bool = False


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A segment was deleted."""

    segment: int


Work: TypeAlias = Stored | Captured | Erased | Joined | Moved | Dropped

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Work).decode


class Task(NamedTuple):
    """`since` is from when on it could be looked at."""

    n: int
    since: Millis
    work: Work

    @property
    def events(self) -> int:
        return len(self.work.events) if isinstance(self.work, Stored) else 0


class SegmentWork:
    """Thread-safe. `due` is set, in the process where it happens, once what was noted is durable; `turns` counts there
    how often who is in segments became another, for whoever remembers it; `round_s` is how long the thread that looks
    was last busy with a round there."""

    def __init__(self) -> None:
        self.due = threading.Event()
        self.turns = 0
        self.round_s = 0.0

    def stored(self, connection: Connection, events: Iterable[tuple[SetId, Event]], *, at: Millis) -> None:
        """Note the events of a batch in one row, and once more, for when it has happened, what lies in the future: one
        row for each second of that.

        Due when all the rest has happened, also by the clock of a machine that is a little behind.
        """
        noted = [
            (each, event.occurred_at, event.id, event.name, [one.name for one in event.traits] if event.traits else ())
            for each, event in events
            if each
        ]
        if not noted:
            return
        due_at = max((each[1] for each in noted if each[1] <= at), default=at)
        # Of a device whose clock is ahead all events are there.
        later: defaultdict[int, list[Any]] = defaultdict(list)
        for each in noted:
            if each[1] > at:
                later[each[1] // 1_000].append(each)
        rows = [(due_at, noted), *((max(each[1] for each in some), some) for some in later.values())]
        connection.execute(work_rows.insert(), [_row(Stored(what), due, at) for due, what in rows])

    def note(self, connection: Connection, work: Work, *, at: Millis) -> int:
        """Its number."""
        made = connection.execute(work_rows.insert().returning(work_rows.c.n), _row(work, at, at))
        return int(made.scalar_one())


def _row(work: Work, due_at: Millis, at: Millis) -> Mapping[str, object]:
    return {"due_at": due_at, "at": at, "work": _encode(work)}


def due(records: Engine, now: Millis, rows: int, events: float = inf, but: Collection[int] = ()) -> list[Task]:
    """What is due, oldest first, but for these numbers: not more than so many rows, and no further row from so many
    events on."""
    wanted = select(work_rows).where(work_rows.c.due_at <= now).order_by(work_rows.c.n).limit(rows + len(but))
    found: list[Task] = []
    with reading(records) as connection:
        for row in connection.execute(wanted):
            if len(found) == rows or events <= 0:
                break
            if row.n not in but:
                found.append(_task(row))
                events -= found[-1].events
    return found


def _task(row: Row[Any]) -> Task:
    return Task(row.n, max(row.at, row.due_at), _decode(row.work))


def waiting(records: Engine, until: Millis) -> frozenset[int]:
    """The numbers of all that is due by then."""
    with reading(records) as connection:
        return frozenset(connection.execute(select(work_rows.c.n).where(work_rows.c.due_at <= until)).scalars())


def read(records: Engine, numbers: Collection[int]) -> list[Task]:
    """Those of these that are still there, oldest first."""
    found = []
    for chunk in chunks(sorted(numbers)):
        with reading(records) as connection:
            rows = connection.execute(select(work_rows).where(work_rows.c.n.in_(chunk)).order_by(work_rows.c.n)).all()
        found += [_task(row) for row in rows]
    return found


def next_due(connection: Connection) -> Millis | None:
    """When the next is due, or was."""
    found: Millis | None = connection.execute(select(func.min(work_rows.c.due_at))).scalar()
    return found


def done(connection: Connection, numbers: Collection[int]) -> None:
    """Take rows away."""
    for chunk in chunks(sorted(numbers)):
        connection.execute(delete(work_rows).where(work_rows.c.n.in_(chunk)))
