"""Fill `typed_events` where a store has events from before there was such a table.

Month by month, so that a fill that was cut off goes on where it was: a month whose rows are not as many as its events
is done again from its start. Whoever calls this sees to it that nobody writes or deletes meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import structlog

from profiles.events_clickhouse_client import JSON_AS_IT_IS, MIB, Client, rows_of, unavailable
from profiles.rows import TYPED_COLUMNS, in_envelope

log = structlog.get_logger()

NAME = "typed_events"
AT_ONCE = 200_000
"""Events in one statement; it takes some seconds."""
LAST_SET = 2**63 - 1

SETTINGS: Mapping[str, Any] = {
    "max_memory_usage": 1024 * MIB,
    "max_block_size": 8_192,
    "min_insert_block_size_rows": 50_000,
    "min_insert_block_size_bytes": 64 * MIB,
    # What was dropped is written once more.
    "insert_deduplicate": 0,
    "distributed_foreground_insert": 1,
    **JSON_AS_IT_IS,
}


def fill(client: Client, altered: str) -> None:
    """`altered` is the table as ALTER TABLE names it. Raises StoreUnavailable, after which the same call goes on."""
    wanted, there = _months(client, "events"), _months(client, NAME)
    months = [month for month in sorted(wanted) if there.get(month, 0) != wanted[month]]
    done, count = 0, sum(wanted[month] for month in months)
    began = time.monotonic()
    for month in months:
        with unavailable():
            if month in there:
                client.command(f"ALTER TABLE {altered} DROP PARTITION ID '{month}'")
            for low, high in _slices(wanted[month]):
                client.command(_copy(month, low, high), settings=dict(SETTINGS))
        done += wanted[month]
        log.info("typed_events_are_filled", month=month, events=done, of=count)
    if months:
        log.info("typed_events_filled", events=count, seconds=round(time.monotonic() - began, 1))


def _months(client: Client, table: str) -> dict[str, int]:
    asked = f"SELECT _partition_id, count() FROM {table} GROUP BY _partition_id"
    return {str(month): int(count) for month, count in rows_of(client, asked)}


def _slices(count: int) -> Iterator[tuple[int, int]]:
    """Ranges of sets, which are spread evenly, with about AT_ONCE events in each; both ends included."""
    parts = -(-count // AT_ONCE)
    bounds = [LAST_SET * part // parts for part in range(parts + 1)]
    for low, high in pairwise(bounds):
        yield (low + 1 if low else -(2**63), high)


def _copy(month: str, low: int, high: int) -> str:
    told = ", ".join(map(in_envelope, TYPED_COLUMNS.split(", ")))
    where = f"_partition_id = '{month}' AND set >= {low} AND set <= {high}"
    return f"INSERT INTO {NAME} ({TYPED_COLUMNS}) SELECT {told} FROM events WHERE {where}"
