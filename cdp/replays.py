"""Replays that were asked for: kept hits to be translated again, each a job that survives its process."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, String, Table, Text

from cdp.records import metadata

replay_rows = Table(
    "replays",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("done", Boolean, nullable=False),
    Column("replay", Text, nullable=False),
)
