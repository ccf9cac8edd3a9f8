"""What the records store keeps for a log on brokers: other payloads for records that cannot be changed there, and how
much lies in the spools of collectors."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, String, Table, func, select

from cdp.records import CLOCK, metadata, reading

SILENT_MS = 600_000
"""A spool of which nothing was heard for so long keeps no capture waiting: its machine may be gone for good."""

rewrite_rows = Table(
    "log_rewrites",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
)
spool_rows = Table(
    "spools",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("waiting", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)


def spooled(records: Engine) -> int:
    """How many hits were answered and lie in the spools of collectors, as these said last."""
    with reading(records) as connection:
        return int(connection.execute(select(func.coalesce(func.sum(spool_rows.c.waiting), 0))).scalar_one())


def hits_are_to_come(records: Engine) -> bool:
    """Whether hits lie in the spool of a collector that was heard of not long ago."""
    heard = select(spool_rows.c.name).where(spool_rows.c.at > CLOCK[records.dialect.name] - SILENT_MS)
    with reading(records) as connection:
        return connection.execute(heard.limit(1)).first() is not None
