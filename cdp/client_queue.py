"""Where a client's events wait until the collector has them: in memory, or in a file that outlives the process.

Neither is thread-safe: the client asks under its lock. Numbers grow with each event, and are not used again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

log = logging.getLogger("xunji.client")

SUFFIX = ".events"

_INSERT = "INSERT OR IGNORE INTO events (id, body) VALUES (?, ?)"
_TABLE = "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, body BLOB NOT NULL)"


class Waiting(NamedTuple):
    """One event: its place in the queue, its messageId, its JSON text."""

    number: int
    id: str
    body: bytes


class Queue(Protocol):
    keeps: bool
    """Whether what is left when the process ends is sent by the next one."""

    last: int
    """The number of the newest event, 0 before the first."""

    def __len__(self) -> int: ...

    def add(self, id_: str, body: bytes) -> None:
        """At the end; what waits already is not added again by a file."""

    def head(self, events: int, size: int) -> list[Waiting]:
        """The first events, up to so many and up to `size` bytes together, but at least one where there is one."""

    def settle(self, numbers: Collection[int]) -> None:
        """Forget events. Those that are not there do not matter."""

    def first(self) -> int | None:
        """The number of the event that waits longest."""

    def close(self) -> None: ...


class MemoryQueue:
    keeps = False

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, Waiting] = OrderedDict()
        self.last = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, id_: str, body: bytes) -> None:
        self.last += 1
        self._waiting[self.last] = Waiting(self.last, id_, body)

    def head(self, events: int, size: int) -> list[Waiting]:
        return _within(islice(self._waiting.values(), events), size)

    def settle(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._waiting.pop(number, None)

    def first(self) -> int | None:
        return next(iter(self._waiting), None)

    def close(self) -> None:
        self._waiting.clear()


class Spool:
    """A SQLite file of this process's own in `folder`, readable by its user alone, since it holds clear values.

    It takes over what processes left behind that died. A file is locked for as long as its process lives, and the
    system lets go of the lock however it ends. An event is in the file when `add` returns: a killed process loses
    none, a machine that loses its power may lose those of the last moment.
    """

    keeps = True

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._file = _create(folder)
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if path != self._path:
                _take_over(path, self._file)
        count, last = self._file.execute("SELECT count(*), max(number) FROM events").fetchone()
        self._count: int = count
        self.last = last or 0

    def __len__(self) -> int:
        return self._count

    def add(self, id_: str, body: bytes) -> None:
        added = self._file.execute(_INSERT, (id_, body))
        if added.rowcount:
            self._count += 1
            self.last = added.lastrowid or self.last

    def head(self, events: int, size: int) -> list[Waiting]:
        rows = self._file.execute("SELECT number, id, body FROM events ORDER BY number LIMIT ?", (events,))
        return _within(map(Waiting._make, rows), size)

    def settle(self, numbers: Collection[int]) -> None:
        with _transaction(self._file):
            gone = [self._file.execute("DELETE FROM events WHERE number = ?", (number,)).rowcount for number in numbers]
        self._count -= sum(gone)

    def first(self) -> int | None:
        found: int | None = self._file.execute("SELECT min(number) FROM events").fetchone()[0]
        return found

    def close(self) -> None:
        self._file.close()
        if not self._count:
            _remove(self._path)


def _within(events: Iterator[Waiting], size: int) -> list[Waiting]:
    found: list[Waiting] = []
    for event in events:
        size -= len(event.body)
        if size < 0 and found:
            break
        found.append(event)
    return found


def _create(folder: Path) -> tuple[Path, sqlite3.Connection]:
    path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    file = _locked(path)
    file.execute(_TABLE)
    return path, file


def _locked(path: Path) -> sqlite3.Connection:
    """The file, locked for this process alone. Raises OperationalError where another has it."""
    file = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute("BEGIN EXCLUSIVE")
        file.execute("COMMIT")
    except sqlite3.Error:
        file.close()
        raise
    return file


def _take_over(path: Path, into: sqlite3.Connection) -> None:
    """Move a dead process's events; a living one's stay. A file that cannot be read is told in the log: it stays where
    it is, and each client that opens the folder tells of it again.

    Dying in between leaves them in both files, and the collector counts the second time as a repeat.
    """
    try:
        with closing(_locked(path)) as left:
            if not left.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
                # A process has just made it, and did not lock it before we did, or it died at that.
                return
            rows = left.execute("SELECT id, body FROM events ORDER BY number").fetchall()
            with _transaction(into):
                into.executemany(_INSERT, rows)
            left.execute("DELETE FROM events")
    except sqlite3.Error as error:
        if not _is_anothers(error):
            log.error("The events in %s of the spool cannot be taken over and are not sent: %s", path.name, error)
        return
    _remove(path)


def _transaction(file: sqlite3.Connection) -> AbstractContextManager[object]:
    """Commits at its end, and takes all back where something fails, the commit included."""
    file.execute("BEGIN")
    return file


def _is_anothers(error: sqlite3.Error) -> bool:
    """Whether a living process has the file; the lower byte of a code says what kind of failure it is."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _remove(path: Path) -> None:
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        name.unlink(missing_ok=True)
