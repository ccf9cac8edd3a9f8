"""The log of hits in a folder: one SQLite file for each partition, written by one process, read by others.

The writer commits on the event loop. A thread for it costs a fifth more CPU a hit and gives no more hits a second,
because a hit's own work and the sync then fight for the interpreter lock. Instead a group is gathered for as long
as the loop brings new hits at once, so under load one sync pays for tens of hits, and a lone hit does not wait.
A group lies in one row: the tree, its index and the write-ahead log then cost the same for tens of hits as for one.
What takes long, the checkpoint of the write-ahead log, is done by a thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from cdp import sqlite_wal
from cdp.doorbell import Doorbell
from cdp.errors import ConfigurationError, LogFull, StoreUnavailable
from cdp.log import NOTHING_SPOOLED, Record, Spooled
from cdp.model import Millis, Position

GROUP_RECORDS = 64
"""From here on a group is committed though more hits are coming, so that its first hit does not wait for long."""
CHECKPOINT_BYTES = 32 * 1024 * 1024
"""Of payload between two checkpoints; the write-ahead log grows to about twice that. Each holds appends up for one
sync of the file, 1 to 20 ms, so they should be rare."""
WAL_KEPT_BYTES = 128 * 1024 * 1024
"""What a write-ahead log that once grew larger, behind a long read, is cut back to."""
WRITER_BUSY_S = 2.0
READER_BUSY_S = 10.0
ROW_BYTES = 256 * 1024
"""Of payload in one row, unless one record alone is larger: what a read or a rewrite of one record has to decode."""
TRIM_ROWS = 50
"""Deleted in one transaction: holds the file for about 2 ms, for which an append waits."""
TRIM_PAUSE_S = 0.005
"""Between two such transactions, longer than the first naps of a waiting writer."""

SCHEMA = """
CREATE TABLE rows (
  first INTEGER PRIMARY KEY, count INTEGER NOT NULL, received_at INTEGER NOT NULL, records BLOB NOT NULL);
CREATE INDEX rows_received ON rows (received_at);
CREATE TABLE trimmed (ended INTEGER NOT NULL);
INSERT INTO trimmed VALUES (0);
"""
# A row holds the records from offset `first` on, and the latest of their times.
# `trimmed.ended` is where the log ended at the last trim: it keeps the count when no row is left.
END = "SELECT max(ended, coalesce((SELECT first + count FROM rows ORDER BY first DESC LIMIT 1), 0)) FROM trimmed"
START = f"SELECT coalesce((SELECT min(first) FROM rows), ({END}))"
# The first offset, and not the first time: a clock that stepped back leaves times out of order.
SEEK = """SELECT first, records FROM rows
  WHERE first = (SELECT min(first) FROM rows INDEXED BY rows_received WHERE received_at >= ?)"""
READ = """SELECT first, records FROM rows
  WHERE first >= coalesce((SELECT max(first) FROM rows WHERE first <= ?), 0) ORDER BY first"""
INSERT = "INSERT INTO rows VALUES (?, ?, ?, ?)"
KEEP_COUNT = f"UPDATE trimmed SET ended = ({END})"
OLD = "SELECT first, count FROM rows WHERE received_at < ? ORDER BY received_at LIMIT ?"

_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[tuple[Millis, bytes]]).decode

_FILE_NAME = re.compile(r"partition-(\d+)\.db")


class SqliteLogWriter:
    """The only writer of its partition on this machine; belongs to one event loop.

    Raises ConfigurationError where another process, or another writer of this one, holds the partition.
    """

    def __init__(self, folder: Path, partition: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.partition = partition
        self.name = str(partition)
        self._path = folder / f"partition-{partition}.db"
        self._lock = hold_partition(folder, partition)
        self._bell = Doorbell(folder)
        make_partition(self._path)
        self._db = connect(self._path, WRITER_BUSY_S)
        self._db.execute("PRAGMA wal_autocheckpoint=0")
        self._db.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
        self._next: int = self._db.execute(END).fetchone()[0]
        self._waiting: list[tuple[asyncio.Future[Position], Millis, bytes]] = []
        self._seen = 0
        self._healthy = True
        self._closed = False
        self._since_checkpoint = 0
        self._backfill: asyncio.Future[None] | None = None

    def append(self, payload: bytes, received_at: Millis, *, key: bytes = b"") -> asyncio.Future[Position]:
        """One partition has one order, whatever the key."""
        if self._closed:
            raise StoreUnavailable("log", "this process has closed it")
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[Position] = loop.create_future()
        if not self._waiting:
            self._seen = 0
            loop.call_soon(self._gather, loop)
        self._waiting.append((durable, received_at, payload))
        return durable

    def healthy(self) -> bool:
        return self._healthy

    def try_again(self) -> None:
        if self._healthy or self._closed:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._next = self._db.execute(END).fetchone()[0]
            self._db.execute(KEEP_COUNT)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._db.rollback()
        else:
            self._healthy = True

    def spooled(self) -> Spooled:
        return NOTHING_SPOOLED

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._commit()
        if self._backfill is not None:
            await asyncio.wait([self._backfill])
        self._db.close()
        self._bell.close()
        os.close(self._lock)

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit once a turn of the loop has brought no more records, or enough are here."""
        count = len(self._waiting)
        if self._seen < count < GROUP_RECORDS:
            self._seen = count
            loop.call_soon(self._gather, loop)
            return
        self._commit()
        if self._since_checkpoint > CHECKPOINT_BYTES and self._backfill is None:
            self._backfill = loop.run_in_executor(None, self._copy_back)
            self._backfill.add_done_callback(self._restart_wal)

    def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        if not group:
            return
        try:
            offset = self._write(group)
        except Exception as error:  # whatever it was, those who wait must hear of it
            self._healthy = False
            for durable, _, _ in group:
                if not durable.done():
                    durable.set_exception(LogFull(str(error)))
            return
        self._healthy = True
        self._bell.ring()
        partition = self.partition
        for durable, _, _ in group:
            if not durable.done():
                durable.set_result(Position(partition, offset))
            offset += 1

    def _write(self, group: Sequence[tuple[Any, Millis, bytes]]) -> int:
        """Insert and sync all or nothing; the offset of the first."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            if not self._healthy:
                # A commit that reported a failed sync may be there all the same.
                self._next = db.execute(END).fetchone()[0]
            first = self._next
            db.executemany(INSERT, rows_of(first, group))
            db.execute("COMMIT")
        except Exception:
            with suppress(sqlite3.Error):
                db.rollback()
            raise
        self._next = first + len(group)
        self._since_checkpoint += sum(len(payload) for _, _, payload in group)
        return first

    def _copy_back(self) -> None:
        """In a thread, so that little is left for `_restart_wal`.

        A failure is let be: the next commit meets a full disk itself and says so.
        """
        with suppress(sqlite3.Error), closing(connect(self._path, WRITER_BUSY_S)) as db:
            sqlite_wal.copy_back(db)

    def _restart_wal(self, _: asyncio.Future[None]) -> None:
        """Copy the rest while nobody appends."""
        self._backfill = None
        self._since_checkpoint = 0
        if not self._closed:
            with suppress(sqlite3.Error):
                sqlite_wal.copy_rest(self._db)


class SqliteLogReader:
    """Reads all partitions of a folder, from any process; sees partitions as they appear.

    Trimming and rewriting take the file's write lock for a few milliseconds. Raises StoreUnavailable where a file
    cannot be read or stays locked.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._idle: dict[int, deque[sqlite3.Connection]] = {}
        self._closed = False

    def ends(self) -> dict[int, int]:
        return {partition: self._end(partition) for partition in self._partitions()}

    def starts(self) -> dict[int, int]:
        return {partition: self._ask(partition, START)[0][0] for partition in self._partitions()}

    def read(self, partition: int, start: int, limit: int) -> Sequence[Record]:
        if not self._path(partition).exists():
            return []
        records: list[Record] = []
        with translated(), self._connection(partition) as db, closing(db.execute(READ, (start,))) as rows:
            while len(records) < limit and (row := rows.fetchone()):
                first, packed = row
                skipped = max(0, start - first)
                wanted = decode(packed)[skipped : skipped + limit - len(records)]
                records += [Record(offset, payload) for offset, (_, payload) in enumerate(wanted, first + skipped)]
        return records

    def seek(self, partition: int, at: Millis) -> int:
        if not self._path(partition).exists():
            return 0
        rows = self._ask(partition, SEEK, at)
        if not rows:
            return self._end(partition)
        first, packed = rows[0]
        found: int = first + next(index for index, (received_at, _) in enumerate(decode(packed)) if received_at >= at)
        return found

    def trim(self, before: Millis) -> int:
        return sum(self._trim(self._path(partition), before) for partition in self._partitions())

    def rewrite(self, position: Position, payload: bytes) -> None:
        """A record that is not kept any more is let be."""
        path = self._path(position.partition)
        if not path.exists():
            return
        with translated(), closing(connect(path, READER_BUSY_S)) as db:
            db.execute("PRAGMA secure_delete=ON")
            db.execute("BEGIN IMMEDIATE")
            for first, packed in db.execute(f"{READ} LIMIT 1", (position.offset,)).fetchall():
                records = decode(packed)
                index = position.offset - first
                if 0 <= index < len(records):
                    records[index] = (records[index][0], payload)
                    db.execute("UPDATE rows SET records = ? WHERE first = ?", (_encode(records), first))
            db.execute("COMMIT")

    def purge(self) -> None:
        for partition in self._partitions():
            with translated():
                sqlite_wal.cut(self._path(partition), "log")

    def close(self) -> None:
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _path(self, partition: int) -> Path:
        return self._folder / f"partition-{partition}.db"

    def _partitions(self) -> list[int]:
        names = map(_FILE_NAME.fullmatch, os.listdir(self._folder))  # noqa: PTH208 – a third of the time of iterdir
        return sorted(int(name[1]) for name in names if name)

    def _end(self, partition: int) -> int:
        end: int = self._ask(partition, END)[0][0]
        return end

    def _ask(self, partition: int, sql: str, *values: int) -> list[tuple[Any, ...]]:
        with translated(), self._connection(partition) as db:
            return db.execute(sql, values).fetchall()

    @contextmanager
    def _connection(self, partition: int) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses meanwhile, so that a short question never waits for a long read."""
        idle = self._idle.setdefault(partition, deque())
        try:
            db = idle.pop()
        except IndexError:
            db = connect(self._path(partition), READER_BUSY_S)
        try:
            yield db
        finally:
            idle.append(db)
            if self._closed:
                self.close()

    def _trim(self, path: Path, before: Millis) -> int:
        trimmed: int = 0
        with translated(), closing(connect(path, READER_BUSY_S)) as db:
            # A trim that a power cut undoes is done again; waiting for the disk would hold up the writer.
            db.execute("PRAGMA synchronous=NORMAL")
            while True:
                db.execute("BEGIN IMMEDIATE")
                db.execute(KEEP_COUNT)
                old = db.execute(OLD, (before, TRIM_ROWS)).fetchall()
                db.executemany("DELETE FROM rows WHERE first = ?", [(first,) for first, _ in old])
                db.execute("COMMIT")
                trimmed += sum(count for _, count in old)
                if len(old) < TRIM_ROWS:
                    return trimmed
                time.sleep(TRIM_PAUSE_S)


def rows_of(first: int, group: Sequence[tuple[Any, Millis, bytes]]) -> Iterator[tuple[int, int, Millis, bytes]]:
    """The rows of a group: mostly one, more where its records are large."""
    records: list[tuple[Millis, bytes]] = []
    size = 0
    for _, at, payload in group:
        if records and size + len(payload) > ROW_BYTES:
            yield first, len(records), max(at for at, _ in records), _encode(records)
            first += len(records)
            records, size = [], 0
        records.append((at, payload))
        size += len(payload)
    yield first, len(records), max(at for at, _ in records), _encode(records)


def hold_partition(folder: Path, partition: int) -> int:
    """The lock that makes one process the writer; the system lets go of it when that process dies."""
    lock = os.open(folder / f"partition-{partition}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigurationError(
            "XUNJI_LOG_URL",
            came=f"the folder {folder}, to whose partition {partition} another process writes",
            allowed="one collector process for each partition; stop the other, or choose another folder",
        ) from error
    return lock


def make_partition(path: Path) -> None:
    """Build the file under another name, so that a reader meets a whole partition or none."""
    if path.exists():
        return
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.executescript(SCHEMA)
        db.execute("PRAGMA journal_mode=WAL")
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect(path: Path, busy_s: float) -> sqlite3.Connection:
    """Whoever holds a connection uses it alone, but not always in the thread that opened it."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous=FULL")
    return db


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable("log", str(error)) from error
