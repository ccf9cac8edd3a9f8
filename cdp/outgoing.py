"""The outbox's table: what goes out to whoever follows, each thing once under an id that names it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, Text

from cdp.model import Millis
from cdp.records import insert_ignoring, metadata, run_rows

outbox_rows = Table(
    "outbox",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("payload", Text, nullable=False),
)


class Outgoing(NamedTuple):
    """`body` is what can be written as JSON."""

    id: str
    at: Millis
    kind: str
    body: Any


def put_out(connection: Connection, messages: Sequence[Outgoing]) -> int:
    """Add messages in the caller's transaction, in their order; how many of them were not there yet."""
    rows = [
        {"id": each.id, "at": each.at, "kind": each.kind, "payload": msgspec.json.encode(each.body).decode()}
        for each in messages
    ]
    return run_rows(connection, insert_ignoring(connection, outbox_rows), rows)
