"""Who may do what only one may do: a lease in the records store, by the store's own clock."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from cdp.records import metadata

lease_rows = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("address", String(300), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
