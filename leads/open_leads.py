"""Leads that may still get additions, told to all processes that may find some."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from cdp.records import metadata

open_rows = Table(
    "open_leads",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("lead", String(40), nullable=False),
    Column("subject", BigInteger, nullable=False),
    Column("frozen_at", BigInteger, nullable=False, index=True),
)
