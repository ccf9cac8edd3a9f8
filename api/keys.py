"""API keys: a name, a role, and the hash of a secret that is shown once.

A key has 256 random bits, so a plain hash of it cannot be guessed back. Names are never used again, because audit
rows name them.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from anyio.to_thread import run_sync
from sqlalchemy import BigInteger, Column, Engine, LargeBinary, Row, String, Table, select, update

from api.permissions import GRANTS, Permission, Role
from cdp.errors import Conflict, NotFound, Refused
from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import insert_ignoring, metadata, reading, writing

ADMIN = "admin"
"""The name of the key in the settings."""
KEY_BYTES = 32
HASH_BYTES = 32
MAX_NAME = 100
LOOK_S = 0.1
"""Between two looks for keys that are unknown here."""
PREFIX = "xk_"
"""Begins each key we make, so that a leaked one is recognised by scanners."""

key_rows = Table(
    "api_keys",
    metadata,
    Column("name", String(MAX_NAME), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("hash", LargeBinary(HASH_BYTES), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; the key itself is not."""

    name: str
    role: Role
    created_at: Millis = 0
    revoked_at: Millis | None = None

    def may(self, permission: Permission) -> bool:
        return permission in GRANTS[self.role]


class KeyBook:
    """The table of keys. Thread-safe."""

    def __init__(self, engine: Engine, *, clock: Callable[[], Millis] = now_ms) -> None:
        self._engine = engine
        self._clock = clock

    def create(self, name: str, role: Role) -> tuple[ApiKey, str]:
        """Make a key; the second of the two is its secret, which nobody can ask for again.

        Raises Refused for a name that is not 1 to 100 printable characters, Conflict where it was ever used.
        """
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise Refused(f"A key's name has 1 to {MAX_NAME} printable characters.")
        secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        key = ApiKey(name, role, self._clock())
        row = {"name": name, "role": role.value, "hash": _hash(secret), "created_at": key.created_at}
        with writing(self._engine) as connection:
            taken = name == ADMIN or not connection.execute(insert_ignoring(connection, key_rows), row).rowcount
        if taken:
            raise Conflict(f"The name {name} is or was a key's; choose another, since audit rows name keys for ever.")
        return key, secret

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, newest first, ties by name."""
        with reading(self._engine) as connection:
            query = select(key_rows).order_by(key_rows.c.created_at.desc(), key_rows.c.name)
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, name: str) -> ApiKey:
        """Take a key away; doing so twice changes nothing. Raises NotFound."""
        with writing(self._engine) as connection:
            named = key_rows.c.name == name
            still_valid = named & key_rows.c.revoked_at.is_(None)
            connection.execute(update(key_rows).where(still_valid).values(revoked_at=self._clock()))
            row = connection.execute(select(key_rows).where(named)).one_or_none()
        if row is None:
            raise NotFound("key", name)
        return _key(row)

    def valid(self) -> dict[bytes, ApiKey]:
        """The keys that open, by hash."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(key_rows).where(key_rows.c.revoked_at.is_(None)))
            return {row.hash: _key(row) for row in rows}


class LiveKeys:
    """Who has this secret, from memory: asked for every request. `refresh` follows changes of other processes."""

    def __init__(self, book: KeyBook, admin: str) -> None:
        self._book = book
        self._admin = _hash(admin)
        self._valid: dict[bytes, ApiKey] = {}
        self._looking = asyncio.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Read the table. May block; raises StoreUnavailable, and then what was known still counts."""
        self._read_at = time.monotonic()
        self._valid = self._book.valid()

    async def look_again(self) -> None:
        """For a secret that is unknown here, and may be of a key that another process made since the last look.

        Whoever guesses waits, and all who do share one look. Raises as `refresh`.
        """
        asked = time.monotonic()
        async with self._looking:
            if self._read_at < asked:
                await asyncio.sleep(self._read_at + LOOK_S - asked)
                await run_sync(self.refresh)

    def holder(self, secret: str) -> ApiKey | None:
        """The valid key with this secret."""
        hashed = _hash(secret)
        if hmac.compare_digest(hashed, self._admin):
            return ApiKey(ADMIN, Role.ADMIN)
        return self._valid.get(hashed)


def _hash(secret: str) -> bytes:
    return blake2b(secret.encode(errors="surrogatepass"), digest_size=HASH_BYTES).digest()


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(row.name, Role(row.role), row.created_at, row.revoked_at)
