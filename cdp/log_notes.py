"""What the records store keeps for a log on brokers: other payloads for records that cannot be changed there, and how
much lies in the spools of collectors."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, String, Table, func, select

from cdp.records import metadata, reading

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
    """How many hits were answered and lie in the spools of collectors, as these said a moment ago."""
    with reading(records) as connection:
        return int(connection.execute(select(func.coalesce(func.sum(spool_rows.c.waiting), 0))).scalar_one())
