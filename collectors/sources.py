"""Registered senders: created in the records store, known to every collector within a second.

Write keys lie sealed in the table. A collector re-reads the table when its version rises and says in a small file
which version it serves, so that whoever made a source can wait until all collectors take its key.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from pathlib import Path

import msgspec
from sqlalchemy import Column, Connection, Engine, Integer, LargeBinary, String, Table, select, update

from cdp.errors import Conflict, NotFound, Refused
from cdp.model import PUBLIC_KINDS, Source, SourceKind, Trust
from cdp.records import metadata, reading, writing
from cdp.running import alive, leave_note
from cdp.vault import Cipher

MAX_KEYS = 2
MAX_KEY_CHARACTERS = 128
KEY_BYTES = 16

source_rows = Table(
    "sources",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
version_row = Table(
    "sources_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)


class SourceBook:
    """The writing end. A source is stored sealed as a whole, since it holds its keys."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self._engine = engine
        self._cipher = Cipher(secret, "sources")

    def load(self) -> tuple[int, list[Source]]:
        """The version and all sources, disabled ones too, by name."""
        with reading(self._engine) as connection:
            return self._version(connection), self._all(connection)

    def version(self) -> int:
        with reading(self._engine) as connection:
            return self._version(connection)

    def create(self, name: str, kind: SourceKind, *, key: str | None = None, **fields: object) -> tuple[Source, int]:
        """Register a sender; without `key` one is made. Returns it with the version that knows it.

        Raises Conflict where the name or the key is taken, Refused where the key is not 1 to 128 printable
        characters.
        """
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise Refused("A source's name has 1 to 200 printable characters.")
        trust = Trust.PUBLIC if kind in PUBLIC_KINDS else Trust.SERVER
        # A source that may prove identities needs a secret to sign with; it is shown once with the source.
        source = Source(
            id=name,
            kind=kind,
            keys=(secrets.token_urlsafe(KEY_BYTES) if key is None else key,),
            **{"trust": trust, "secret": secrets.token_hex(32)} | fields,  # type: ignore[arg-type]
        )
        with writing(self._engine) as connection:
            others = self._all(connection)
            taken = next((other for other in others if other.id == name), None)
            if taken is not None:
                raise Conflict(
                    f"There is a source {name} of kind {taken.kind} already; choose another name, or use that one."
                )
            return source, self._store(connection, source, others)

    def change(self, name: str, **fields: object) -> tuple[Source, int]:
        """Replace fields of a source. Raises NotFound, Conflict or Refused; see `create`."""
        with writing(self._engine) as connection:
            others = self._all(connection)
            source = next((other for other in others if other.id == name), None)
            if source is None:
                raise NotFound("source", name)
            changed = msgspec.structs.replace(source, **fields)
            return changed, self._store(connection, changed, [other for other in others if other.id != name])

    def _store(self, connection: Connection, source: Source, others: list[Source]) -> int:
        if not 1 <= len(source.keys) <= MAX_KEYS:
            raise Refused(f"A source has one or {MAX_KEYS} live keys; take one away before adding another.")
        # Looked at here, for the shape of a request is told with the value that was wrong.
        if source.secret and not re.fullmatch(r"[\x21-\x7e]{8,200}", source.secret):
            raise Refused(
                "A secret has 8 to 200 printable ASCII characters without spaces; an empty one proves nothing."
            )
        for key in source.keys:
            if not (1 <= len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()):
                raise Refused(f"A key has 1 to {MAX_KEY_CHARACTERS} printable ASCII characters.")
            if any(key in other.keys for other in others):
                raise Conflict("Another source has this key; two senders with one key cannot be told apart.")
        sealed = self._cipher.seal(msgspec.json.encode(source))
        connection.execute(source_rows.delete().where(source_rows.c.id == source.id))
        connection.execute(source_rows.insert().values(id=source.id, sealed=sealed))
        bumped = connection.execute(update(version_row).values(version=version_row.c.version + 1))
        if not bumped.rowcount:
            connection.execute(version_row.insert().values(id=1, version=1))
        return self._version(connection)

    def _version(self, connection: Connection) -> int:
        return connection.execute(select(version_row.c.version)).scalar() or 0

    def _all(self, connection: Connection) -> list[Source]:
        rows = connection.execute(select(source_rows.c.sealed).order_by(source_rows.c.id)).scalars()
        return [msgspec.json.decode(self._cipher.open(sealed), type=Source) for sealed in rows]


class LiveSources:
    """The reading end: who has this key, from memory. `refresh` is called often, `by_key` for every hit."""

    def __init__(self, book: SourceBook) -> None:
        self._book = book
        self._lock = threading.Lock()
        self.version = -1
        self._by_key: dict[str, Source] = {}
        self._by_id: dict[str, Source] = {}
        self.refresh()

    def refresh(self) -> bool:
        """Read the table again if its version rose; whether it did. Raises StoreUnavailable."""
        if self._book.version() == self.version:
            return False
        with self._lock:
            version, sources = self._book.load()
            self._by_id = {source.id: source for source in sources}
            self._by_key = {key: source for source in sources if source.enabled for key in source.keys}
            self.version = version
        return True

    def by_key(self, key: str) -> Source | None:
        """The enabled source with this live key."""
        return self._by_key.get(key)

    def by_id(self, source_id: str) -> Source | None:
        """The source of this id, also when it is disabled."""
        return self._by_id.get(source_id)


def announce(folder: Path, collector: str, version: int) -> None:
    """Say that the collector of this name, this very process, serves this version of the sources."""
    leave_note(folder / f"collector-{collector}.json", version=version)


def everyone_serves(folder: Path, version: int) -> bool:
    """Whether each living collector of this machine serves this version or a later one."""
    said = (json.loads(path.read_text()) for path in folder.glob("collector-*.json"))
    return all(each["version"] >= version or not alive(each["pid"]) for each in said)
