"""Kept hits that must be made unreadable: which they are, and doing it.

A redacted hit keeps its place in the log, its source and its time, so that the accounting goes on adding up; what the
sender wrote is overwritten. A hit goes whole, because what of it was whose cannot be cut out of an SDK's body.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Engine, Integer, String, Table, func, select, update

from cdp.accounting import refusal_rows
from cdp.log import LogReader
from cdp.model import Hit, Millis, Position
from cdp.records import insert_ignoring, metadata, reading, writing
from cdp.seen import Place
from cdp.vault import Cipher

REDACTED = "redacted"
"""Stands for the dialect of a redacted hit, which none can translate."""
LATE = ""
"""Stands for the erasure where a hit came after it, or was met by a replay."""
AT_ONCE = 200
"""Hits redacted before the records store is told."""

redaction_rows = Table(
    "redactions",
    metadata,
    Column("erasure", String(40), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("of_others", Boolean, nullable=False),
)


class Redactions:
    """The hits to be redacted, by erasure. `due` is set when the pipeline left some."""

    def __init__(self, records: Engine, log: LogReader, secret: bytes) -> None:
        self._records = records
        self._log = log
        self._cipher = Cipher(secret, "log")
        self.due = threading.Event()

    def note(self, connection: Connection, erasure: str, hits: Mapping[Position, bool]) -> None:
        """Add hits in the caller's transaction, each with whether it also brought events of others. Idempotent."""
        rows = [{"erasure": erasure, **at._asdict(), "of_others": others} for at, others in hits.items()]
        if rows:
            connection.execute(insert_ignoring(connection, redaction_rows), rows)

    def count(self, erasure: str) -> tuple[int, int]:
        """How many hits of this erasure there are, and how many of them brought events of others too."""
        mine = redaction_rows.c.erasure == erasure
        with reading(self._records) as connection:
            every = connection.execute(select(func.count()).where(mine)).scalar_one()
            others = connection.execute(select(func.count()).where(mine, redaction_rows.c.of_others)).scalar_one()
        return every, others

    def rewrite(self, erasure: str) -> None:
        """Redact all hits of an erasure; they stay noted. Idempotent; durable on return."""
        last: tuple[int, int] = (-1, -1)
        while positions := self._noted(erasure, last):
            for position in positions:
                self._rewrite(position)
            self._forget_details(positions)
            last = positions[-1]

    def rewrite_late(self) -> bool:
        """Redact what the pipeline left to be redacted; whether there was any."""
        self.due.clear()
        positions = self._noted(LATE, (-1, -1))
        for position in positions:
            self._rewrite(position)
        if not positions:
            return False
        self._forget_details(positions)
        self._log.purge()
        with writing(self._records) as connection:
            for position in positions:
                connection.execute(redaction_rows.delete().where(redaction_rows.c.erasure == LATE, *_at(position)))
        return True

    def received_at(self, place: Place) -> Millis | None:
        """When a kept hit came, redacted or not; None where it is not kept any more."""
        records = self._log.read(place.partition, place.offset, 1)
        if not records or records[0].offset != place.offset:
            return None
        return self._opened(records[0].payload).received_at

    def drop(self, connection: Connection, erasure: str) -> None:
        """Forget which hits they were, in the caller's transaction."""
        connection.execute(redaction_rows.delete().where(redaction_rows.c.erasure == erasure))

    def _noted(self, erasure: str, after: tuple[int, int]) -> list[Position]:
        columns = (redaction_rows.c.partition, redaction_rows.c.offset)
        beyond = (columns[0] > after[0]) | ((columns[0] == after[0]) & (columns[1] > after[1]))
        wanted = select(*columns).where(redaction_rows.c.erasure == erasure, beyond).order_by(*columns).limit(AT_ONCE)
        with reading(self._records) as connection:
            return [Position(*row) for row in connection.execute(wanted)]

    def _rewrite(self, position: Position) -> None:
        records = self._log.read(position.partition, position.offset, 1)
        if records and records[0].offset == position.offset:
            hit = self._opened(records[0].payload)
            self._log.rewrite(position, self._cipher.seal(msgspec.msgpack.encode(redacted(hit))))

    def _opened(self, payload: bytes) -> Hit:
        return msgspec.msgpack.decode(self._cipher.open(payload), type=Hit)

    def _forget_details(self, positions: Iterable[Position]) -> None:
        """What was noted of a refused record may name what it held."""
        with writing(self._records) as connection:
            for position in positions:
                same = (refusal_rows.c.partition == position.partition, refusal_rows.c.offset == position.offset)
                connection.execute(update(refusal_rows).where(*same).values(detail=""))


def redacted(hit: Hit) -> Hit:
    """What is left of a hit."""
    return Hit(
        received_at=hit.received_at,
        source=hit.source,
        dialect=REDACTED,
        method="",
        target="",
        headers={},
        client_ip="",
        body=b"",
    )


def _at(position: Position) -> tuple[Any, Any]:
    return redaction_rows.c.partition == position.partition, redaction_rows.c.offset == position.offset
