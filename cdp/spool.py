"""Hits that brokers cannot take yet, kept on this machine's disk in the order in which they came.

A file per collector process. Its holder alone writes and reads it; one that a dead process left is anybody's.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from cdp.errors import ConfigurationError, LogFull
from cdp.model import Millis

log = structlog.get_logger()

MAX_SPOOLS = 64
BUSY_S = 2.0
KEPT_FILE_BYTES = 16 * 1024 * 1024
"""What an empty spool may take; a larger file is made anew."""

SCHEMA = """
PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS hits (
  number INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, key BLOB NOT NULL, payload BLOB NOT NULL);
"""
MEASURE = "SELECT count(*), coalesce(sum(length(payload)), 0), coalesce(max(number), 0) FROM hits WHERE number <= ?"
READ = "SELECT number, received_at, key, payload FROM hits WHERE number > ? ORDER BY number LIMIT ?"
ALL = 2**63 - 1


class Kept(NamedTuple):
    number: int
    received_at: Millis
    key: bytes
    payload: bytes


class Spool:
    """Belongs to one event loop. `waiting` and `size` tell how many hits it holds, and bytes of them.

    `healthy` says whether the last attempt to write succeeded. Raises ConfigurationError where another holds it.
    """

    def __init__(self, folder: Path, name: str, *, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._path = folder / f"spool-{name}.db"
        self._limit = limit
        self._group: list[tuple[Kept, asyncio.Future[Any] | None]] = []
        self._group_bytes = 0
        self._last = 0
        self.healthy = True
        lock = _hold(folder / f"spool-{name}.lock")
        try:
            self._open()
        except BaseException:
            os.close(lock)
            raise
        self._lock: int | None = lock

    def add(
        self,
        received_at: Millis,
        key: bytes,
        payload: bytes,
        *,
        durable: asyncio.Future[Any] | None,
        limited: bool = True,
    ) -> int:
        """Keep a hit and say its number, larger than any before; `durable` is done once it is synced.

        It fails with LogFull where the disk, or the spool's own limit, has no room; the hit is not kept then. What is
        not `limited` is kept whatever the limit is.
        """
        self._last += 1
        if limited and self.size + self._group_bytes + len(payload) > self._limit:
            cause = f"the spool holds {self._limit:,} bytes, all it may, and the brokers take none"
            _fail(durable, LogFull(cause))
            return self._last
        if not self._group:
            asyncio.get_running_loop().call_soon(self.commit)
        self._group.append((Kept(self._last, received_at, key, payload), durable))
        self._group_bytes += len(payload)
        return self._last

    @property
    def empty(self) -> bool:
        return not self.waiting and not self._group

    def commit(self) -> bool:
        """Sync what was added since; happens by itself at the next turn of the loop. Whether it could."""
        group, size = self._group, self._group_bytes
        self._group, self._group_bytes = [], 0
        if not group:
            return True
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT INTO hits VALUES (?, ?, ?, ?)", [hit for hit, _ in group])
        except Exception as error:  # whatever it was, those who wait must hear of it
            self.healthy = False
            for _, durable in group:
                _fail(durable, LogFull(str(error)))
            return False
        self.healthy = True
        self.waiting += len(group)
        self.size += size
        for _, durable in group:
            if durable is not None and not durable.done():
                durable.set_result(None)
        return True

    def read(self, after: int, count: int, size: int) -> Sequence[Kept]:
        """Synced hits behind that number, in order: `count` at most and about `size` bytes, one where there is any.

        Of a disk that fails none, or not all, may come, and the spool is not `healthy` then.
        """
        found: list[Kept] = []
        if not self.waiting:
            return found
        try:
            with closing(self._db.execute(READ, (after, count))) as rows:
                while size > 0 and (row := rows.fetchone()):
                    found.append(Kept(*row))
                    size -= len(found[-1].payload)
        except sqlite3.Error:
            self.healthy = False
        return found

    def forget(self, until: int) -> None:
        """Let go of all hits up to that number, which the log has."""
        if not self.waiting:
            return
        try:
            count, size, _ = self._db.execute(MEASURE, (until,)).fetchone()
            if not count:
                return
            if count == self.waiting and self._path.stat().st_size > KEPT_FILE_BYTES and not self._group:
                self._make_anew()
                return
            self._db.execute("DELETE FROM hits WHERE number <= ?", (until,))
        except (sqlite3.Error, OSError):
            self.healthy = False
        else:
            self.waiting -= count
            self.size -= size

    def try_again(self) -> None:
        """Where the last attempt to write failed, make a small one."""
        if not self.healthy:
            with suppress(sqlite3.Error, OSError):
                if self._shut:
                    self._open()
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("PRAGMA user_version=1")
                self._db.execute("COMMIT")
                self.healthy = True

    def close(self) -> None:
        """May be called twice."""
        if self._lock is not None:
            self.commit()
            self._db.close()
            os.close(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Close it, and leave no file behind."""
        self.close()
        self._unlink()

    def _open(self) -> None:
        db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            db.executescript(SCHEMA)
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")
            sync_folder(self._path.parent)
            self.waiting, self.size, last = db.execute(MEASURE, (ALL,)).fetchone()
        except BaseException:
            db.close()
            raise
        self._last = max(last, self._last)
        self._db, self._shut = db, False

    def _make_anew(self) -> None:
        """Where that fails it is shut, and takes nothing until `try_again` could open it."""
        self._shut = True
        self._db.close()
        self._unlink()
        self._open()

    def _unlink(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def open_free_spool(folder: Path, *, limit: int) -> Spool:
    """The lowest spool that no other process holds."""
    for number in range(MAX_SPOOLS):
        with suppress(ConfigurationError):
            return Spool(folder, str(number), limit=limit)
    raise ConfigurationError("XUNJI_COLLECTOR_PROCESSES", came="more", allowed=f"{MAX_SPOOLS} on one machine")


def open_left_spool(folder: Path) -> Spool | None:
    """One that holds hits and that nobody holds, such as of a collector that was taken away.

    One that cannot be opened is let be, for whoever looks again.
    """
    for name in sorted(spool_names(folder)):
        try:
            spool = Spool(folder, name, limit=0)
        except ConfigurationError:
            continue
        except (sqlite3.Error, OSError) as error:
            log.warning("spool_unreadable", name=name, reason=str(error))
            continue
        if spool.waiting:
            return spool
        spool.close()
    return None


def spool_names(folder: Path) -> list[str]:
    return [path.stem.removeprefix("spool-") for path in folder.glob("spool-*.db")]


def sync_folder(folder: Path) -> None:
    """A file that was made is there after a power cut only once its folder is synced."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _hold(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigurationError(
            "XUNJI_DATA_DIR", came=f"{path}, held by another", allowed="a folder of our own"
        ) from error
    return lock


def _fail(durable: asyncio.Future[Any] | None, error: Exception) -> None:
    if durable is not None and not durable.done():
        durable.set_exception(error)
