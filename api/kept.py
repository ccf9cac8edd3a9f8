"""Answers to writes, kept for a day under the `Idempotency-Key` that came with them.

They may hold secrets that are shown once, and so lie sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, String, Table, select

from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import insert_ignoring, metadata, reading, writing
from cdp.vault import Cipher

KEPT_MS = 24 * 3_600_000
MAX_KEY = 200

once_rows = Table(
    "api_once",
    metadata,
    Column("caller", String(100), primary_key=True),
    Column("key", String(MAX_KEY), primary_key=True),
    Column("asked", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)


class Kept(msgspec.Struct, array_like=True):
    """An answer that was given, and the hash of what was asked."""

    asked: bytes
    status: int
    body: bytes


class OnceBook:
    """The table of answers, by the caller's name and the key that the request brings."""

    def __init__(self, engine: Engine, secret: bytes, *, clock: Callable[[], Millis] = now_ms) -> None:
        self._engine = engine
        self._cipher = Cipher(secret, "idempotency")
        self._clock = clock

    def find(self, caller: str, key: str) -> Kept | None:
        """The answer of the last 24 hours."""
        same = (once_rows.c.caller == caller) & (once_rows.c.key == key)
        young = once_rows.c.at > self._clock() - KEPT_MS
        with reading(self._engine) as connection:
            row = connection.execute(select(once_rows).where(same & young)).one_or_none()
        return None if row is None else Kept(row.asked, row.status, self._cipher.open(row.sealed))

    def forget(self, words: Collection[str]) -> None:
        """Delete every answer in which any of these words stands, such as the id of a lead."""
        wanted = [word.encode() for word in words]
        with writing(self._engine) as connection:
            for row in connection.execute(select(once_rows)).all() if wanted else ():
                body = self._cipher.open(row.sealed)
                if any(word in body for word in wanted):
                    same = (once_rows.c.caller == row.caller) & (once_rows.c.key == row.key)
                    connection.execute(once_rows.delete().where(same))

    def keep(self, caller: str, key: str, kept: Kept) -> None:
        """Durable on return; forgets what is too old."""
        at = self._clock()
        row = {"caller": caller, "key": key, "asked": kept.asked, "status": kept.status, "at": at}
        with writing(self._engine) as connection:
            connection.execute(once_rows.delete().where(once_rows.c.at <= at - KEPT_MS))
            connection.execute(insert_ignoring(connection, once_rows), row | {"sealed": self._cipher.seal(kept.body)})
