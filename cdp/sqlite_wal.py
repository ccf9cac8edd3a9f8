"""SQLite's write-ahead log: copying it back beside the writers, and cutting it, so that no page of the past is left."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from cdp.errors import StoreUnavailable

TRY_S = 10.0
NAP_S = 0.002
"""Between two tries. A try never waits: while it did, whoever writes would wait for it."""


def copy_back(db: sqlite3.Connection) -> None:
    """Copy what is committed into the file, beside readers and writers. What came during the second time is left, so
    whoever keeps the writers away then has little to copy; only a log that is copied whole begins anew."""
    for _ in range(2):
        copy_rest(db)


def copy_rest(db: sqlite3.Connection) -> None:
    """Copy what is committed by now."""
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def cut(path: Path, store: str) -> None:
    """Copy all that is committed into the file and cut the log. Beside readers and writers; raises StoreUnavailable
    where they leave no gap for ten seconds: then call it again."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        # Most is copied beside the writers; only the rest needs them to stand still.
        copy_rest(db)
        deadline = time.monotonic() + TRY_S
        while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise StoreUnavailable(store, f"{path.name} is read or written without a pause")
            time.sleep(NAP_S)
