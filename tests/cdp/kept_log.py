"""A log in SQLite that lived: trimmed at its beginning, wholly and in the middle, and with a hit that was rewritten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cdp.log import LogReader
from cdp.log_sqlite import SqliteLogReader, SqliteLogWriter
from cdp.model import Position

BEGAN = 1_790_000_000_000
HITS = 500
TRIMMED = 130
REWRITTEN = Position(0, 320)
LARGE = 400_000


def make_log(folder: Path) -> None:
    """Partition 0 begins at `TRIMMED`; 1 is empty but was not; 2 was never written; 3 lacks hits in its middle."""
    for partition, count in ((0, HITS), (1, 70), (2, 0), (3, 90)):
        asyncio.run(_append(folder, partition, count))
    with closing(sqlite3.connect(folder / "partition-3.db")) as db, db:
        assert db.execute("DELETE FROM rows WHERE first BETWEEN 30 AND 49").rowcount
    with closing(SqliteLogReader(folder)) as reader:
        reader.trim(BEGAN + TRIMMED * 1_000)
        reader.rewrite(REWRITTEN, b"redacted")


async def _append(folder: Path, partition: int, count: int) -> None:
    writer = SqliteLogWriter(folder, partition)
    # Of the second all are trimmed, of the fourth none.
    began = BEGAN + {1: -1_000_000, 3: 1_000_000}.get(partition, 0)
    for start in range(0, count, 10):
        hits = (
            writer.append(_payload(partition, offset), began + offset * 1_000)
            for offset in range(start, min(start + 10, count))
        )
        await asyncio.gather(*hits)
    await writer.close()


def _payload(partition: int, offset: int) -> bytes:
    return f"{partition}-{offset}".encode() + bytes(LARGE if offset == HITS - 5 else offset)


def all_of(reader: LogReader, partitions: Sequence[int] = range(4)) -> dict[str, Any]:
    """What a log says: bounds, hits, and where its times are found."""
    starts, ends = reader.starts(), reader.ends()
    times = [BEGAN + second * 1_000 for second in (-1_000, 0, 200, HITS + 1, 1_000, 1_020, 1_035, 2_000)]
    return {
        "starts": {each: starts[each] for each in partitions},
        "ends": {each: ends[each] for each in partitions},
        "hits": {each: list(reader.read(each, 0, 10_000)) for each in partitions},
        # How many of them come at once is the log's own affair.
        "next": [[each.offset for each in reader.read(3, start, 3)][:1] for start in (0, 29, 30, 35, 49, 89, 90)],
        "found": [[reader.seek(each, at) for at in times] for each in partitions],
    }
