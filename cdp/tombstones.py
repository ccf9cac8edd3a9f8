"""What was erased must not come back: for each erased identifier a keyed hash, and when it was erased.

An event that carries such an identifier and happened before the erasure is dropped, also when it comes late, again, or
out of a replay of the log. What the same identifier does afterwards is a new acquaintance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, String, Table, bindparam, func, select

from cdp.hot import HotQuery, hot_reading
from cdp.model import Identifier, Millis, SetId, Window
from cdp.records import insert_ignoring, metadata
from cdp.vault import Vault

BEGINNING, END = -(2**62), 2**62
"""Times before and after all others."""

tombstone_rows = Table(
    "tombstones",
    metadata,
    Column("token", String(20), primary_key=True),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    Column("until", BigInteger, nullable=False),
    Column("erased_at", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False, server_default="0", index=True),
)
"""`n` grows with each erasure, so that other processes see what is new."""

_FRESH = HotQuery(select(tombstone_rows).where(tombstone_rows.c.n > bindparam("version")))


class Tombstone(NamedTuple):
    """An identifier was erased at `erased_at`, for events from `since` up to `until`: all times, but for an identifier
    that changed hands, of which only the person's own time goes."""

    since: Millis
    until: Millis
    erased_at: Millis

    def covers(self, *, occurred_at: Millis, received_at: Millis) -> bool:
        """Whether an event that carries the identifier lies before the erasure."""
        inside = self.since <= occurred_at < self.until
        return inside and (occurred_at < self.erased_at or received_at <= self.erased_at)


def set_name(each: SetId) -> Identifier:
    """Stands for a whole set of identifiers, where not any of them but only all together were the person's."""
    return Identifier("set", str(each))


class Tombstones:
    """All of them, in memory. Reading is safe from any thread.

    `version` grows when there are new ones: whoever remembers what `of` said asks again then.
    """

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault
        self._lock = Lock()
        self._by_token: Mapping[str, Mapping[Millis, Tombstone]] = {}
        self.version = -1
        self.refresh()

    def __bool__(self) -> bool:
        return bool(self._by_token)

    def refresh(self) -> None:
        """Read those that were written since, by whatever process. Costs a look-up where there are none. Raises
        StoreUnavailable."""
        with self._lock:
            with hot_reading(self._engine) as reader:
                fresh = _FRESH.rows(reader, version=self.version)
            if fresh:
                found = dict(self._by_token)
                for token, since, until, erased_at, _ in fresh:
                    found[token] = {**found.get(token, {}), since: Tombstone(since, until, erased_at)}
                self._by_token = found
                self.version = max(n for *_, n in fresh)

    def of(self, identifiers: Iterable[Identifier], set_: SetId) -> tuple[Tombstone, ...]:
        """The tombstones of these identifiers, as they are stored, and of their set."""
        if not self._by_token:
            return ()
        named = (*identifiers, set_name(set_))
        return tuple(stone for each in named for stone in self._by_token.get(self._token(each), {}).values())

    def write(self, connection: Connection, stones: Mapping[Identifier, Sequence[Tombstone]]) -> None:
        """Add tombstones in the caller's transaction; `refresh` when it is durable. Idempotent."""
        last = connection.execute(select(func.max(tombstone_rows.c.n))).scalar() or 0
        for each, its_stones in stones.items():
            for stone in its_stones:
                row = {"token": self._token(each), **stone._asdict(), "n": last + 1}
                if not connection.execute(insert_ignoring(connection, tombstone_rows), row).rowcount:
                    same = (tombstone_rows.c.token == row["token"]) & (tombstone_rows.c.since == stone.since)
                    connection.execute(tombstone_rows.update().where(same).values(row))

    def _token(self, identifier: Identifier) -> str:
        # Not the token by which a phone is stored: who has the stores must not find out whose tombstone it is.
        return self._vault.token(f"erased {identifier.kind}", identifier.value)


def covered(stones: Iterable[Tombstone], *, occurred_at: Millis, received_at: Millis) -> bool:
    """Whether an event of these tombstones lies before any of the erasures."""
    return any(stone.covers(occurred_at=occurred_at, received_at=received_at) for stone in stones)


def tombstones_of(
    nodes: Mapping[Identifier, Sequence[Window]], sets: Mapping[SetId, Sequence[Window]], *, erased_at: Millis
) -> dict[Identifier, list[Tombstone]]:
    """One for each stretch of time in which an identifier, or a set of them, was the person's."""
    named = {**nodes, **{set_name(each): windows for each, windows in sets.items()}}
    return {each: [_tombstone(window, erased_at) for window in windows] for each, windows in named.items()}


def _tombstone(window: Window, erased_at: Millis) -> Tombstone:
    start, end = window
    return Tombstone(BEGINNING if start is None else start, END if end is None else end, erased_at)
