"""The event store on ClickHouse: the engine in this process (`chdb:///path`) or a server (`clickhouse://…`).

Both speak one SQL and are opened by one client, so this is the only adapter. A write of a batch is two inserts,
traits first, each one block under a token of its own: the engine drops a block whose token it has seen, so after a
crash between the two, writing again adds what is missing. Readers that see an event thus see its traits too.

An engine in the process takes one path at a time; several stores may be opened on it. A client serialises its
calls, hence one for writing, a few for reading and one for slow work, each with caps of its own.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, ProgrammingError

from cdp.errors import StoreUnavailable
from cdp.model import ALWAYS, NO_WINDOWS, Millis, SetId, Window, Windows
from profiles.rows import EVENT_COLUMNS, READ_COLUMNS, TRAIT_COLUMNS, event_dict, event_lines, trait_lines
from profiles.store import Came, Cursor, SetSummary, StoredEvent, TraitRow

MIB = 1024 * 1024
READERS = 3

TOKENS_KEPT = 10_000
"""Blocks whose tokens the engine remembers: minutes of the smallest batches, while a redo comes right after a crash."""

WRITES_CHECKED = 20
"""After opening. The engine syncs rows, but not its list of tokens; after a power cut, whose redo comes first of all,
the rows themselves are asked."""

ENGINE_OPTIONS = {
    "mark_cache_size": 64 * MIB,
    "index_mark_cache_size": 32 * MIB,
    "primary_index_cache_size": 64 * MIB,
    "uncompressed_cache_size": 128 * MIB,
    "query_condition_cache_size": 16 * MIB,
    "background_pool_size": 2,
}
"""Caps of the embedded engine, in bytes but for the last, which is threads."""

DURABLE = {
    "non_replicated_deduplication_window": TOKENS_KEPT,
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    # Merged parts replace synced ones at once, so they are synced too.
    "min_rows_to_fsync_after_merge": 1,
    "min_compressed_bytes_to_fsync_after_merge": 1,
    # Small batches make many parts; rather slow than refused.
    "parts_to_delay_insert": 3_000,
    "parts_to_throw_insert": 100_000,
    "merge_selecting_sleep_ms": 500,
    "max_merge_selecting_sleep_ms": 5_000,
    # How often rewritten parts are looked for, in seconds: an erasure waits until they are deleted.
    "cleanup_delay_period": 1,
    "max_cleanup_delay_period": 5,
    "cleanup_delay_period_random_add": 0,
}
LEAN = {
    "auto_statistics_types": "''",
    "string_serialization_version": "'single_stream'",
    "compress_per_column_in_compact_parts": 0,
    "write_marks_for_substreams_in_compact_parts": 0,
    "compress_marks": 0,
    "compress_primary_key": 0,
    "ratio_of_defaults_for_sparse_serialization": 1,
}
"""What a part costs beside its rows: a batch of 20 takes a third less with these. Older servers lack some of them."""

_COMMON = {"log_queries": 0, "query_profiler_real_time_period_ns": 0, "query_profiler_cpu_time_period_ns": 0}
_READING = {
    **_COMMON,
    "output_format_json_quote_64bit_integers": 0,
    "max_read_buffer_size": 65_536,
    "max_query_size": 16 * MIB,
}

WRITER = {
    **_COMMON,
    "max_threads": 1,
    "max_memory_usage": 1024 * MIB,
    # A batch is one block, whatever its size, so that its token stands for the whole of it.
    "async_insert": 0,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 100_000_000,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 16 * 1024 * MIB,
    "max_partitions_per_insert_block": 0,
    "input_format_json_read_objects_as_strings": 1,
}
READER = {
    **_READING,
    "max_threads": 1,
    "max_memory_usage": 256 * MIB,
    "max_execution_time": 10,
    "use_uncompressed_cache": 1,
}
EMBEDDED_READER = {
    **READER,
    # The primary key leaves a granule or two of each part; asking the index while reading costs more than before.
    "use_skip_indexes_on_data_read": 0,
}
PROFILING = {
    # A profile is asked for most often, and its query is short enough for planning to be most of it.
    "use_skip_indexes": 0,
    "optimize_use_projections": 0,
}
BACKGROUND = {**_READING, "max_threads": 1, "max_memory_usage": 512 * MIB, "mutations_sync": 1}

TEXTS = {"events": "envelope", "traits": "value"}
"""The tables of what is known of persons, and the column that holds what was written."""
MARKED = r"⟦\\w+:([\\w\\-=]+)⟧"
"""A marker of `cdp.scrub`, with its token as the only group, as it stands in a text of SQL."""
NEEDLES = 200
"""Searched for at once; the engine takes 255."""
PURGE_S, PURGE_LOOK_S = 60.0, 0.2

FIRST_WINDOW_MS = 600_000
WINDOW_GROWTH = 16
SCAN_PAGE = 5_000

FEW_WINDOWS = 8
"""So many are compared one by one. The engine's time for that grows with their square: 1,000 took 0.9 s, and 17 ms
where each moment is looked up in the sorted list of them."""
BEGINNING = -(2**62)
END = 2**62
"""Before and after all moments."""
_AT_ALL_TIMES = (ALWAYS,)

_row = msgspec.json.Decoder(list[Any])


class ClickHouseEvents:
    """See `profiles.store.EventStore`."""

    def __init__(self, url: str) -> None:
        self._closed = False
        self._unchecked = WRITES_CHECKED
        embedded = url.startswith("chdb:")
        with _unavailable():
            self._background = _open(url, BACKGROUND)
            for statement in _schema(DURABLE | LEAN if embedded else DURABLE):
                self._background.command(statement)
            self._writer = _open(url, WRITER)
            reader = EMBEDDED_READER if embedded else READER
            self._reading = [_open(url, reader) for _ in range(READERS)]
            self._profiling = _open(url, reader | PROFILING)
        self._readers: queue.SimpleQueue[Client] = queue.SimpleQueue()
        for client in self._reading:
            self._readers.put(client)

    def write(self, rows: Sequence[StoredEvent], *, token: str) -> None:
        if not rows:
            return
        traits, events = trait_lines(rows), event_lines(rows)
        check = self._unchecked > 0 and _in_one_month(rows)
        with _unavailable():
            if traits and not (check and self._holds_traits(rows)):
                self._insert("traits", TRAIT_COLUMNS, traits, f"{token}/traits")
            if not (check and self._holds(rows[0], "events", "id")):
                self._insert("events", EVENT_COLUMNS, events, f"{token}/events")
        self._unchecked -= 1

    def _holds_traits(self, rows: Sequence[StoredEvent]) -> bool:
        return self._holds(next(row for row in rows if row.event.traits), "traits", "event")

    def _holds(self, row: StoredEvent, table: str, column: str) -> bool:
        """Whether the block that this row belongs to is stored; a block is stored as a whole or not at all."""
        where = f"{_in([row.set])} AND occurred_at = {{at:Int64}} AND {column} = {{id:String}}"
        values = {"at": row.event.occurred_at, "id": row.event.id}
        return bool(self._query(f"SELECT count() FROM {table} WHERE {where}", values)[0][0])

    def _insert(self, table: str, columns: str, lines: bytes, token: str) -> None:
        self._writer.raw_insert(
            table,
            column_names=[name.strip("`") for name in columns.split(", ")],
            insert_block=lines,
            fmt="JSONCompactEachRow",
            settings={"insert_deduplication_token": token},
        )

    def trail(
        self, sets: Sequence[SetId], *, limit: int, before: Cursor | None = None, windows: Windows = NO_WINDOWS
    ) -> list[dict[str, Any]]:
        if not sets:
            return []
        where = _of(sets, windows)
        values: dict[str, Any] = {}
        if before is not None:
            where += " AND occurred_at <= {at:Int64} AND (occurred_at, id) < ({at:Int64}, {id:String})"
            values = {"at": before.at, "id": before.id}
        return self._events(f"WHERE {where} ORDER BY occurred_at DESC, id DESC LIMIT {int(limit)}", values)

    def recent(
        self,
        *,
        limit: int,
        before: Cursor | None = None,
        start: Millis | None = None,
        end: Millis | None = None,
        name: str | None = None,
        source: str | None = None,
    ) -> list[dict[str, Any]]:
        where = "received_at >= {low:Int64} AND received_at < {high:Int64}"
        values: dict[str, Any] = {}
        for column, value in (("name", name), ("source", source)):
            if value is not None:
                where += f" AND {column} = {{{column}:String}}"
                values[column] = value
        if before is not None:
            where += " AND (received_at, id) < ({at:Int64}, {id:String})"
            values |= {"at": before.at, "id": before.id}
            end = before.at + 1 if end is None else min(end, before.at + 1)
        found: list[dict[str, Any]] = []
        for low, high in self._windows(start, end):
            found += self._events(
                f"WHERE {where} ORDER BY received_at DESC, id DESC LIMIT {int(limit) - len(found)}",
                {**values, "low": low, "high": high},
            )
            if len(found) >= limit:
                break
        return found

    def _windows(self, start: Millis | None, end: Millis | None) -> Iterator[tuple[Millis, Millis]]:
        """Windows of receipt from the newest back, each wider: rows lie in the order of sets, so looking for the
        newest reads every row of the time it looks at. The bounds come from the parts' own, at no cost."""
        [(oldest, newest, count)] = self._query("SELECT min(received_at), max(received_at), count() FROM events")
        if not count:
            return
        low_end = oldest if start is None else max(start, oldest)
        high = newest + 1 if end is None else min(end, newest + 1)
        width = FIRST_WINDOW_MS
        while high > low_end:
            low = max(low_end, high - width)
            yield low, high
            high, width = low, width * WINDOW_GROWTH

    def event(self, event_id: str) -> dict[str, Any] | None:
        found = self._events("WHERE id = {id:String} LIMIT 1", {"id": event_id})
        return found[0] if found else None

    def events_between(
        self, sets: Sequence[SetId], *, after: Millis, until: Millis, windows: Windows = NO_WINDOWS
    ) -> list[dict[str, Any]]:
        if not sets:
            return []
        return self._events(
            f"WHERE {_of(sets, windows)} AND occurred_at > {{after:Int64}} AND occurred_at <= {{until:Int64}}"
            " ORDER BY occurred_at, id",
            {"after": after, "until": until},
        )

    def moments(self, sets: Collection[SetId], within: Sequence[Window]) -> list[tuple[Millis, SetId]]:
        if not sets or not within:
            return []
        where = f"{_in(sets)} AND {_when(within)}"
        rows = self._query(f"SELECT DISTINCT occurred_at, set FROM events WHERE {where} ORDER BY occurred_at, set")
        return [(at, set_) for at, set_ in rows]

    def traits(
        self, sets: Sequence[SetId], *, until: Millis | None = None, windows: Windows = NO_WINDOWS
    ) -> list[TraitRow]:
        if not sets:
            return []
        bound = "" if until is None else " AND occurred_at <= {until:Int64}"
        rows = self._query(
            "SELECT set, event, `order`, operation, name, value, source, occurred_at FROM traits"
            f" WHERE {_of(sets, windows)}{bound} ORDER BY occurred_at, event, `order`",
            {} if until is None else {"until": until},
        )
        return [TraitRow(*row) for row in rows]

    def summaries(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> list[SetSummary]:
        if not sets:
            return []
        rows = self._query(
            "SELECT set, count(), min(occurred_at), max(occurred_at) FROM events"
            f" WHERE {_of(sets, windows)} GROUP BY set"
        )
        return [SetSummary(*row) for row in rows]

    def facts(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> tuple[list[TraitRow], list[SetSummary]]:
        if not sets:
            return [], []
        where = _of(sets, windows)
        # A summary comes in the columns of a trait row; it has no operation.
        rows = self._query(
            "SELECT set, event, `order`, operation, name, value, source, occurred_at FROM traits"
            f" WHERE {where} UNION ALL"
            " SELECT set, '', count(), '', '', toString(min(occurred_at)), '', max(occurred_at) FROM events"
            f" WHERE {where} GROUP BY set",
            client=self._profiling,
        )
        return (
            [TraitRow(*row) for row in rows if row[3]],
            [SetSummary(row[0], row[2], int(row[5]), row[7]) for row in rows if not row[3]],
        )

    def delete_sets(
        self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS, received_until: Millis | None = None
    ) -> int:
        if not sets:
            return 0
        where = _of(sets, windows)
        if received_until is not None:
            where += f" AND received_at <= {int(received_until)}"
        with _unavailable():
            counted = self._background.raw_query(f"SELECT count() FROM events WHERE {where}", fmt="TSV")
            for table in ("traits", "events"):
                self._background.command(f"ALTER TABLE {table} DELETE WHERE {where}")
        return int(counted)

    def that_came(self, came: Came, *, after: str = "", limit: int) -> list[dict[str, Any]]:
        where, values = _came(came)
        rest = f"WHERE {where} AND id > {{after:String}} ORDER BY id LIMIT {int(limit)}"
        return self._events(rest, values | {"after": after}, client=self._background)

    def other_sets(self, sets: Collection[SetId], came: Came) -> set[SetId]:
        if not sets:
            return set()
        where, values = _came(came)
        rows = self._query(
            f"SELECT DISTINCT set FROM events WHERE {_in(sets)} AND NOT ({where})", values, client=self._background
        )
        return {SetId(each) for (each,) in rows}

    def delete_that_came(self, came: Came) -> int:
        where, values = _came(came)
        with _unavailable():
            counted = self._background.raw_query(f"SELECT count() FROM events WHERE {where}", values, fmt="TSV")
            # Traits know their event and not its hit, so they go first.
            theirs = f"source = {{source:String}} AND event IN (SELECT id FROM events WHERE {where})"
            self._background.command(f"ALTER TABLE traits DELETE WHERE {theirs}", values)
            self._background.command(f"ALTER TABLE events DELETE WHERE {where}", values)
        return int(counted)

    def markers(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> set[str]:
        if not sets:
            return set()
        found = [
            f"SELECT arrayJoin(extractAll({column}, '{MARKED}')) AS token FROM {table} WHERE {_of(sets, windows)}"
            for table, column in TEXTS.items()
        ]
        rows = self._query(f"SELECT DISTINCT token FROM ({' UNION ALL '.join(found)})", client=self._background)
        return {token for (token,) in rows}

    def holding(self, tokens: Collection[str], *, received_after: Millis | None = None) -> set[str]:
        since = 0 if received_after is None else int(received_after) + 1
        found: set[str] = set()
        ordered = sorted(tokens)
        for start in range(0, len(ordered), NEEDLES):
            # Tokens are letters, digits and three signs, which need no escaping.
            needles = ", ".join(f"'{token}'" for token in ordered[start : start + NEEDLES] if token.isascii())
            for table, column in TEXTS.items():
                rows = self._query(
                    f"SELECT DISTINCT arrayJoin(arrayFilter(each -> position({column}, each) > 0, [{needles}]))"
                    f" FROM {table} WHERE received_at >= {since} AND multiSearchAny({column}, [{needles}])",
                    client=self._background,
                )
                found.update(token for (token,) in rows)
        return found

    def purge(self) -> None:
        with _unavailable():
            for table in TEXTS:
                self._background.command(f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1")
            try:
                old = self._old_parts()
                deadline = time.monotonic() + PURGE_S
                while old & self._old_parts():
                    if time.monotonic() > deadline:
                        raise StoreUnavailable("event", "it keeps parts that were rewritten")
                    time.sleep(PURGE_LOOK_S)
            finally:
                for table in TEXTS:
                    self._background.command(f"ALTER TABLE {table} RESET SETTING old_parts_lifetime")

    def _old_parts(self) -> set[tuple[str, str]]:
        """Parts that were replaced by others and are still on the disk."""
        rows = self._query(
            "SELECT table, name FROM system.parts WHERE database = currentDatabase() AND NOT active",
            client=self._background,
        )
        return {(table, name) for table, name in rows if table in TEXTS}

    def scan(self) -> Iterator[dict[str, Any]]:
        """In the order of (set, occurred_at, id); what is written meanwhile may or may not come."""
        where = "1"
        values: dict[str, Any] = {}
        while True:
            page = self._events(
                f"WHERE {where} ORDER BY set, occurred_at, id LIMIT {SCAN_PAGE}", values, client=self._background
            )
            yield from page
            if len(page) < SCAN_PAGE:
                return
            last = page[-1]
            where = "set >= {set:Int64} AND (set, occurred_at, id) > ({set:Int64}, {at:Int64}, {id:String})"
            values = {"set": last["set"], "at": last["occurred_at"], "id": last["id"]}

    def count(self) -> int:
        return int(self._query("SELECT count() FROM events")[0][0])

    def probe(self) -> None:
        with _unavailable():
            self._writer.raw_insert("probes", insert_block=b"[1]", fmt="JSONCompactEachRow")
        if self._query("SELECT max(at) FROM probes") != [[1]]:
            raise StoreUnavailable("event", "what was written does not come back")

    def trim(self, before: Millis) -> None:
        with _unavailable():
            for table in ("traits", "events"):
                self._trim(table, int(before))

    def _trim(self, table: str, before: Millis) -> None:
        # Whole months are dropped, which costs nothing; only the month of the bound is rewritten.
        bounds = self._query(
            f"SELECT _partition_id, min(received_at), max(received_at) FROM {table} GROUP BY _partition_id",
            client=self._background,
        )
        for partition, _, newest in bounds:
            if newest < before:
                self._background.command(f"ALTER TABLE {table} DROP PARTITION ID '{partition}'")
        if any(oldest < before <= newest for _, oldest, newest in bounds):
            self._background.command(f"ALTER TABLE {table} DELETE WHERE received_at < {before}")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for client in (*self._reading, self._profiling, self._writer, self._background):
            client.close()

    def _events(self, rest: str, values: dict[str, Any], *, client: Client | None = None) -> list[dict[str, Any]]:
        return [
            event_dict(row) for row in self._query(f"SELECT {READ_COLUMNS} FROM events {rest}", values, client=client)
        ]

    def _query(
        self, sql: str, values: dict[str, Any] | None = None, *, client: Client | None = None
    ) -> list[list[Any]]:
        """Rows of a SELECT. Values are bound by the engine, never put into the text."""
        with _unavailable():
            if client is not None:
                answer = client.raw_query(sql, values, fmt="JSONCompactEachRow")
            else:
                reader = self._readers.get()
                try:
                    answer = reader.raw_query(sql, values, fmt="JSONCompactEachRow")
                finally:
                    self._readers.put(reader)
        return _row.decode_lines(answer)


def _open(url: str, settings: dict[str, int]) -> Client:
    if url.startswith("chdb:"):
        path = urlsplit(url).path
        Path(path).mkdir(parents=True, exist_ok=True)
        options = {key: str(value) for key, value in ENGINE_OPTIONS.items()}
        try:
            return clickhouse_connect.get_client(interface="chdb", path=path, settings=settings, chdb_options=options)
        except ProgrammingError as error:
            # The engine's own message is its connection string and no cause.
            if (holder := _holder(Path(path))) is not None:
                cause = f"process {holder} has {path} open, and only one at a time may"
                raise StoreUnavailable("event", cause) from error
            raise
    return clickhouse_connect.get_client(dsn=url, settings=settings, autogenerate_session_id=False)


def _holder(folder: Path) -> str | None:
    """The process that has this folder open: an engine locks the file into which it writes its PID."""
    try:
        with (folder / "status").open() as status:
            said = status.readline().partition(":")[2].strip()
            flock(status, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return said
    except OSError:
        pass
    return None


def _schema(settings: Mapping[str, object]) -> list[str]:
    listed = ", ".join(f"{name} = {value}" for name, value in settings.items())
    text = (Path(__file__).parent / "events.sql").read_text(encoding="utf-8").replace("{settings}", listed)
    return [part for part in text.split(";\n") if part.strip()]


def _in_one_month(rows: Sequence[StoredEvent]) -> bool:
    """Whether the rows make one block: each month of receipt is a partition, with a block of its own."""
    received = [row.event.received_at for row in rows]
    return time.gmtime(min(received) / 1000)[:2] == time.gmtime(max(received) / 1000)[:2]


def _of(sets: Sequence[SetId], windows: Windows) -> str:
    """The condition for events and traits of these sets, each in its windows."""
    if windows.keys().isdisjoint(sets):
        return _in(sets)
    # Sets that have the very same list, as those of one device do, are asked for together.
    together: dict[int, tuple[Sequence[Window], list[SetId]]] = {}
    for each in sets:
        when = windows.get(each, _AT_ALL_TIMES)
        together.setdefault(id(when), (when, []))[1].append(each)
    parts = [
        _in(some) if when is _AT_ALL_TIMES else f"({_in(some)} AND {_when(when)})" for when, some in together.values()
    ]
    return f"({' OR '.join(parts)})"


def _came(came: Came) -> tuple[str, dict[str, Any]]:
    """The condition for events that came in these hits, and its values."""
    hit = "splitByChar('-', JSONExtractString(envelope, 'hit'))"
    offset = f"toInt64OrZero({hit}[2])"
    ranges = [
        f"({hit}[1] = '{int(partition)}' AND {offset} >= {int(start)} AND {offset} < {int(end)})"
        for partition, start, end in came.hits
    ]
    received = f"received_at BETWEEN {int(came.since)} AND {int(came.until)}"
    return f"source = {{source:String}} AND {received} AND ({' OR '.join(ranges) or '0'})", {"source": came.source}


def _in(sets: Iterable[SetId]) -> str:
    """Sets are our own integers; `int` makes sure that nothing else enters the text."""
    return f"set IN ({','.join(str(int(s)) for s in sets)})"


def _when(windows: Sequence[Window]) -> str:
    bounds = [(BEGINNING if start is None else int(start), END if end is None else int(end)) for start, end in windows]
    if len(bounds) <= FEW_WINDOWS:
        return f"({' OR '.join(_between(*each) for each in bounds) or '0'})"
    # The largest bound that is not after the moment is the start of a window, or the moment is in none.
    starts = ",".join(str(start) for start, _ in bounds)
    all_bounds = ",".join(map(str, sorted({bound for each in bounds for bound in each})))
    inside = f"roundDown(occurred_at, [{all_bounds}]) IN ({starts})"
    return f"({_between(bounds[0][0], bounds[-1][1])} AND {inside})"


def _between(start: int, end: int) -> str:
    return f"(occurred_at >= {start} AND occurred_at < {end})"


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise StoreUnavailable("event", str(error).partition("\n")[0][:300]) from error
