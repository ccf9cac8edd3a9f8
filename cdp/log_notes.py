"""What the records store keeps for a log on brokers: other payloads for records that cannot be changed there, and how
much lies in the spools of collectors."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from cdp.records import metadata

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
