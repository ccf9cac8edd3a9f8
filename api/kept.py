"""Answers to writes, kept for a day under the `Idempotency-Key` that came with them.

They may hold secrets that are shown once, and so lie sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, String, Table, and_, delete, or_, select

from cdp.errors import Conflict
from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import insert_ignoring, metadata, reading, writing
from cdp.vault import Cipher

KEPT_MS = 24 * 3_600_000
CLAIMED_MS = 60_000
"""How long a request that is being answered keeps the same one from being answered by others, if its process dies."""
MAX_KEY = 200
BUSY = "A request with this Idempotency-Key is being answered now. Send it again in a second."
UNDER_WAY = 0
"""Stands for the status of an answer that is not there yet."""

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
    """The table of answers, by the caller's name and the key that the request brings.

    With `claims` other processes answer too: then a request is noted before it is answered.
    """

    def __init__(
        self, engine: Engine, secret: bytes, *, clock: Callable[[], Millis] = now_ms, claims: bool = False
    ) -> None:
        self._engine = engine
        self._cipher = Cipher(secret, "idempotency")
        self._clock = clock
        self._claims = claims

    def begin(self, caller: str, key: str, asked: bytes) -> Kept | None:
        """The answer of the last 24 hours; where there is none, the caller gives it now, and calls `keep` or `drop`.

        Raises Conflict where another process is about to.
        """
        if not self._claims:
            return self.find(caller, key)
        at = self._clock()
        row = {"caller": caller, "key": key, "asked": asked, "status": UNDER_WAY, "sealed": b"", "at": at}
        with writing(self._engine) as connection:
            connection.execute(delete(once_rows).where(*_is(caller, key), _is_over(at)))
            if connection.execute(insert_ignoring(connection, once_rows), row).rowcount:
                return None
            there = connection.execute(select(once_rows).where(*_is(caller, key))).one()
        if there.status == UNDER_WAY:
            raise Conflict(BUSY)
        return self._kept(there)

    def find(self, caller: str, key: str) -> Kept | None:
        """The answer of the last 24 hours."""
        there = (once_rows.c.status != UNDER_WAY) & (once_rows.c.at > self._clock() - KEPT_MS)
        with reading(self._engine) as connection:
            row = connection.execute(select(once_rows).where(*_is(caller, key), there)).one_or_none()
        return None if row is None else self._kept(row)

    def forget(self, words: Collection[str]) -> None:
        """Delete every answer in which any of these words stands, such as the id of a lead."""
        wanted = [word.encode() for word in words]
        answers = select(once_rows).where(once_rows.c.status != UNDER_WAY)
        with writing(self._engine) as connection:
            for row in connection.execute(answers).all() if wanted else ():
                body = self._cipher.open(row.sealed)
                if any(word in body for word in wanted):
                    connection.execute(delete(once_rows).where(*_is(row.caller, row.key)))

    def keep(self, caller: str, key: str, kept: Kept) -> None:
        """Durable on return; forgets what is too old."""
        at = self._clock()
        row = {"caller": caller, "key": key, "asked": kept.asked, "status": kept.status, "at": at}
        with writing(self._engine) as connection:
            connection.execute(delete(once_rows).where(or_(and_(*_is(caller, key)), once_rows.c.at <= at - KEPT_MS)))
            connection.execute(once_rows.insert(), row | {"sealed": self._cipher.seal(kept.body)})

    def drop(self, caller: str, key: str) -> None:
        """Nothing was made: the same request may be answered anew."""
        if self._claims:
            with writing(self._engine) as connection:
                claimed = (*_is(caller, key), once_rows.c.status == UNDER_WAY)
                connection.execute(delete(once_rows).where(*claimed))

    def _kept(self, row: Any) -> Kept:
        return Kept(row.asked, row.status, self._cipher.open(row.sealed))


def _is(caller: str, key: str) -> tuple[Any, Any]:
    return once_rows.c.caller == caller, once_rows.c.key == key


def _is_over(at: Millis) -> Any:
    """What counts no more at that moment."""
    dead = and_(once_rows.c.status == UNDER_WAY, once_rows.c.at <= at - CLAIMED_MS)
    return or_(dead, once_rows.c.at <= at - KEPT_MS)
