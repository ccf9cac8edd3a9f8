"""The log in a folder of SQLite files."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from cdp.errors import ConfigurationError, Refused
from cdp.log_sqlite import (
    END,
    INSERT,
    READ,
    READER_BUSY_S,
    START,
    connect,
    decode,
    hold_partition,
    make_partition,
    rows_of,
    translated,
)
from cdp.move.contents import Digest, Key, Page
from cdp.move.log import KeptHit, Stretch, digest_of_log, pages_of, partition_of, table_of

_COUNT = "SELECT coalesce(sum(count), 0) FROM rows"
_KEEP_END = "UPDATE trimmed SET ended = max(ended, ?)"


class SqliteLogContents:
    """`cdp.move.contents.Contents` of a folder, whose partitions no collector has meanwhile."""

    def __init__(self, folder: Path) -> None:
        """Raises Refused where a collector is at work."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._held: dict[int, int] = {}
        names = (re.fullmatch(r"partition-(\d+)\.db", path.name) for path in folder.iterdir())
        try:
            for partition in sorted(int(name[1]) for name in names if name):
                self._hold(partition)
        except BaseException:
            self.close()
            raise

    def tables(self) -> Mapping[str, int]:
        found = {}
        for partition in sorted(self._held):
            with self._opened(table_of(partition)) as db:
                found[table_of(partition)] = int(db.execute(_COUNT).fetchone()[0])
        return found

    def last(self, table: str) -> Key | None:
        if partition_of(table) not in self._held:
            return None
        with self._opened(table) as db:
            end: int = db.execute(END).fetchone()[0]
        return (end - 1,) if end else None

    def pages(self, table: str, after: Key | None) -> Iterator[Page[Stretch]]:
        if partition_of(table) not in self._held:
            return
        with self._opened(table) as db:
            (start,), (end,) = db.execute(START).fetchone(), db.execute(END).fetchone()
            yield from pages_of(_hits(db, 0 if after is None else after[0] + 1), start=start, end=end)

    def add(self, table: str, page: Page[Stretch]) -> None:
        """A folder has room for any partition."""
        if partition_of(table) not in self._held:
            self._hold(partition_of(table))
        stretch = page.rows
        with self._opened(table) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_KEEP_END, (stretch.first,))
            if stretch.hits:
                db.executemany(INSERT, rows_of(stretch.first, stretch.hits))
            db.execute("COMMIT")

    def digest(self, table: str, until: Key | None = None) -> Digest:
        return digest_of_log(self.pages(table, None), until)

    def close(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])

    def _hold(self, partition: int) -> None:
        try:
            self._held[partition] = hold_partition(self._folder, partition)
        except ConfigurationError as error:
            raise Refused(f"A collector writes to partition {partition} in {self._folder}. Stop it first.") from error
        make_partition(self._folder / f"partition-{partition}.db")

    @contextmanager
    def _opened(self, table: str) -> Iterator[sqlite3.Connection]:
        path = self._folder / f"partition-{partition_of(table)}.db"
        with translated(), closing(connect(path, READER_BUSY_S)) as db:
            yield db


def _hits(db: sqlite3.Connection, start: int) -> Iterator[KeptHit]:
    """All from that offset on."""
    for first, packed in db.execute(READ, (start,)):
        for offset, (received_at, payload) in enumerate(decode(packed), first):
            if offset >= start:
                yield KeptHit(offset, received_at, payload)
