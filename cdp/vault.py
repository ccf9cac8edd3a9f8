"""Tokens in place of personal data, and the cipher for what must stay readable.

A phone number is useful inside only as *the same number as yesterday*; so everything but one table holds a keyed
hash of it. The token key never changes, because events never do; the vault's key may (`cdp.vault_rotation`).
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import BigInteger, Column, Connection, Engine, LargeBinary, String, Table, bindparam, select

from cdp.hot import HotQuery, hot_reading
from cdp.model import Identifier, Millis
from cdp.records import chunks, insert_ignoring, metadata, reading

NONCE_BYTES = 12
TOKEN_BYTES = 15
"""120 bits: two of 10^12 values meet by chance with a probability of 10^-12; 20 characters of base64."""
KNOWN_TOKENS = 200_000
"""Tokens remembered as already in the vault; each takes about 150 bytes."""
SCAN_ROWS = 10_000


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose from the deployment's secret (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=b"xunji", info=purpose.encode()).derive(secret)


class Tokenizer:
    """Keyed BLAKE2b of kind and normalised value. Pure; the same in every process that has the secret."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = hashlib.blake2b(key=derive_key(secret, "token"), digest_size=TOKEN_BYTES)

    def token(self, kind: str, value: str) -> str:
        """20 URL-safe characters for a value that is already normalised."""
        hasher = self._keyed.copy()
        hasher.update(f"{kind}\0{value}".encode())
        return base64.urlsafe_b64encode(hasher.digest()).decode()


class Cipher:
    """AES-256-GCM with a random nonce before the ciphertext. `purpose` separates keys: log, vault, sources.

    Seals with `secret`; opens what that or one of the `older` secrets sealed.
    """

    def __init__(self, secret: bytes, purpose: str, *older: bytes) -> None:
        self._aead = AESGCM(derive_key(secret, purpose))
        self._older = [AESGCM(derive_key(each, purpose)) for each in older]

    def seal(self, clear: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, clear, None)

    def open(self, sealed: bytes) -> bytes:
        """Raises cryptography.exceptions.InvalidTag where the key is another or a bit was changed."""
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._aead.decrypt(nonce, text, None)
        except InvalidTag:
            for aead in self._older:
                with suppress(InvalidTag):
                    return aead.decrypt(nonce, text, None)
            raise

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with `secret`, not with an older one."""
        try:
            self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag:
            return False
        return True


def vault_cipher(secret: bytes, keys: Sequence[bytes] = ()) -> Cipher:
    """Seals with the first of the keys, and opens what any of them or the deployment's secret sealed."""
    sealing, *older = (*keys, secret)
    return Cipher(sealing, "vault", *older)


vault_rows = Table(
    "vault",
    metadata,
    Column("token", String(20), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

_SEALED = HotQuery(select(vault_rows.c.sealed).where(vault_rows.c.token == bindparam("token")))


class Vault:
    """The one table that holds clear personal values, sealed. Safe to use from several threads.

    `secret` makes the tokens, and seals where there are no `keys`; see `vault_cipher`. `remembered` tokens need not be
    looked up again; 0 where another process may destroy them.
    """

    def __init__(
        self, engine: Engine, secret: bytes, keys: Sequence[bytes] = (), *, remembered: int = KNOWN_TOKENS
    ) -> None:
        self._engine = engine
        self._cipher = vault_cipher(secret, keys)
        self._tokenizer = Tokenizer(secret)
        self._known: dict[str, None] = {}
        self._remembered = remembered

    def token(self, kind: str, value: str) -> str:
        """The token of a normalised value. Stores nothing: see `remember`."""
        return self._tokenizer.token(kind, value)

    def remember(self, connection: Connection, clear: Mapping[str, Identifier], *, at: Millis) -> None:
        """Keep clear values by token, in the caller's transaction. A token that is known stays as it is."""
        # In order, so that two transactions with the same tokens do not wait for each other crosswise.
        fresh = sorted(token for token in clear if token not in self._known)
        if not fresh:
            return
        missing = set(fresh)
        for chunk in chunks(fresh):
            found = connection.execute(select(vault_rows.c.token).where(vault_rows.c.token.in_(chunk)))
            missing.difference_update(found.scalars())
        rows = [
            {
                "token": token,
                "kind": clear[token].kind,
                "sealed": self._cipher.seal(clear[token].value.encode()),
                "created_at": at,
            }
            for token in fresh
            if token in missing
        ]
        if rows:
            connection.execute(insert_ignoring(connection, vault_rows), rows)

    def committed(self, tokens: Iterable[str]) -> None:
        """Say that a transaction with these tokens is durable, so that they need not be looked up again."""
        self._known.update(dict.fromkeys(tokens))
        while len(self._known) > self._remembered:
            del self._known[next(iter(self._known))]

    def reveal(self, tokens: Sequence[str]) -> dict[str, str]:
        """Clear values by token; tokens that are unknown or were destroyed are left out.

        Whoever shows one to a person writes an audit row (`cdp.audit`).
        """
        if not tokens:
            return {}
        with hot_reading(self._engine) as reader:
            found = [(token, row) for token in tokens for row in _SEALED.rows(reader, token=token)]
        return {token: self._cipher.open(sealed).decode() for token, (sealed,) in found}

    def kinds(self, connection: Connection, tokens: Iterable[str], *, since: Millis = 0) -> dict[str, str]:
        """The kind of each of these tokens whose clear value came at that moment or later."""
        found: dict[str, str] = {}
        for chunk in chunks(sorted(tokens)):
            wanted = select(vault_rows.c.token, vault_rows.c.kind).where(vault_rows.c.token.in_(chunk))
            wanted = wanted.where(vault_rows.c.created_at >= since)
            rows = connection.execute(wanted)
            found.update((row.token, row.kind) for row in rows)
        return found

    def destroy(self, connection: Connection, tokens: Iterable[str]) -> int:
        """Delete clear values in the caller's transaction; how many there were. A later `remember` keeps them anew."""
        wanted = sorted(set(tokens))
        for token in wanted:
            self._known.pop(token, None)
        return sum(
            connection.execute(vault_rows.delete().where(vault_rows.c.token.in_(chunk))).rowcount
            for chunk in chunks(wanted)
        )

    def scan(self) -> Iterator[tuple[Identifier, str]]:
        """Every value that the vault has: the identifier with its token, and the clear value, in no order.

        For rules that must look at clear values, such as those of a policy; nothing of it may be shown or kept.
        """
        page = select(vault_rows.c.token, vault_rows.c.kind, vault_rows.c.sealed).order_by(vault_rows.c.token)
        last = ""
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(page.where(vault_rows.c.token > last).limit(SCAN_ROWS)).all()
            if not rows:
                return
            for token, kind, sealed in rows:
                yield Identifier(kind, token), self._cipher.open(sealed).decode()
            last = rows[-1].token
