"""Keep the leads in the event store as segments ask for them, mirrored from the records store where they are captured.

The mirror is never a source: every row is written again from what the records say now, so that doing it twice, or after
a crash, gives the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from threading import Lock
from typing import Any, NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, Engine, Row, select

from cdp.feeds import drop_places, note_place, place_of
from cdp.model import Millis, SetId
from cdp.moments import now_ms
from cdp.records import CLOCK, chunks, reading, writing
from cdp.segment_work import Moved, SegmentWork
from leads.store import Card, lead_rows
from profiles.store import LeadRow, MirroredLeads

log = structlog.get_logger()

FEED = "mirrored leads"
SHAPE = 1
"""Of the rows, as the feed's place: where it is another than that of what lies there, all are written again."""
AT_ONCE = 2_000

_columns = tuple(lead_rows.c[name] for name in ("id", "source", "stage", "owner", "subject", "created_at", "card"))


class _Read(NamedTuple):
    row: Row[Any]
    card: Card


class LeadRows:
    """Thread-safe; any process may do it, in the gate together with others: an erasure empties leads while nobody
    writes them here. Raises StoreUnavailable, after which the same call may be made again."""

    def __init__(self, records: Engine, work: SegmentWork, mirror: MirroredLeads) -> None:
        self._records, self._work, self._mirror = records, work, mirror
        self._filled = False
        self._lock = Lock()

    def follow(self, leads: Collection[str]) -> None:
        """Bring these leads up to date: they came, changed, were erased, or went. All are brought, and everybody is to
        be looked at, by the first call over stores that were filled without a mirror."""
        with self._lock:
            if not self._filled:
                self._fill_once()
            for some in chunks(sorted(leads), AT_ONCE):
                self._write(some)

    def _fill_once(self) -> None:
        with reading(self._records) as connection:
            oldest = select(lead_rows.c.id).where(lead_rows.c.subject != 0).order_by(lead_rows.c.created_at).limit(1)
            known = connection.execute(oldest).scalar()
        # Another event store than the one that was filled, such as after a move, does not have it.
        there = known is None or bool(self._mirror.versions([known]))
        if not there or place_of(self._records, FEED) != SHAPE:
            self._fill()
        self._filled = True

    def _fill(self) -> None:
        with writing(self._records) as connection:
            drop_places(connection, FEED)
        count = 0
        for some in self._every():
            self._write(some)
            count += len(some)
        with writing(self._records) as connection:
            note_place(connection, FEED, SHAPE)
            self._work.note(connection, Moved([]), at=now_ms())
        log.info("leads_mirrored", leads=count)

    def _every(self) -> Iterator[Sequence[str]]:
        last = ""
        page = select(lead_rows.c.id).order_by(lead_rows.c.id).limit(AT_ONCE)
        while True:
            with reading(self._records) as connection:
                some = connection.execute(page.where(lead_rows.c.id > last)).scalars().all()
            if not some:
                return
            yield some
            last = some[-1]

    def _write(self, leads: Sequence[str]) -> None:
        """Write these as they are, and leave nothing of what is erased or gone."""
        before = self._mirror.versions(leads)
        with reading(self._records) as connection:
            found, at = _read(connection, leads)
        rows = {each.row.id: _row(each, max(at, before.get(each.row.id, 0) + 1)) for each in found}
        self._mirror.write(rows.values())
        gone = before.keys() - {each.row.id for each in found if not each.card.erased}
        self._mirror.forget_before({each: rows[each].version if each in rows else before[each] + 1 for each in gone})


def _read(connection: Connection, leads: Sequence[str]) -> tuple[list[_Read], Millis]:
    """Those that are there, and when it was by the clock of the database: who read later has the higher version."""
    at = connection.execute(select(CLOCK[connection.dialect.name])).scalar_one()
    asked = select(*_columns)
    rows = [row for some in chunks(leads) for row in connection.execute(asked.where(lead_rows.c.id.in_(some)))]
    return [_Read(row, msgspec.json.decode(row.card, type=Card)) for row in rows], at


def _row(read: _Read, version: int) -> LeadRow:
    row, card = read
    fields = {
        "source": row.source,
        "stage": row.stage,
        "owner": row.owner,
        "channel": card.channel,
        "campaign": card.campaign,
        "interest": card.interest,
        # What it is has no place here: a segment may only ask whether it is there.
        "contact": dict.fromkeys(card.contact, True),
    }
    return LeadRow(row.id, version, SetId(row.subject), row.created_at, fields)
