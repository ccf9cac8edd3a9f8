"""How far something was followed, the changes of the graph above all: the place of each who follows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Engine, String, Table, delete, select, update

from cdp.records import insert_ignoring, metadata, reading

cursor_rows = Table(
    "outbox_cursor",
    metadata,
    Column("feed", String(20), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)


def place_of(records: Engine, feed: str) -> int | None:
    """Up to where this feed was followed, None where it never was. Raises StoreUnavailable."""
    with reading(records) as db:
        return db.execute(select(cursor_rows.c.seq).where(cursor_rows.c.feed == feed)).scalar()


def note_place(db: Connection, feed: str, seq: int) -> None:
    """That it was followed up to there. Never goes back, whoever notes it last."""
    if not db.execute(insert_ignoring(db, cursor_rows), {"feed": feed, "seq": seq}).rowcount:
        behind = (cursor_rows.c.feed == feed) & (cursor_rows.c.seq < seq)
        db.execute(update(cursor_rows).where(behind).values(seq=seq))


def drop_places(db: Connection, beginning: str) -> None:
    """All feeds whose names begin so are to be followed from the start."""
    db.execute(delete(cursor_rows).where(cursor_rows.c.feed.startswith(beginning, autoescape=True)))
