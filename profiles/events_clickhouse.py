"""The event store on ClickHouse: the engine in this process (`chdb:///path`) or a server (`clickhouse://…`).

Both speak one SQL and are opened by one client, so this is the only adapter. A write of a batch is three inserts, the
events themselves last, each one block under a token of its own: the engine drops a block whose token it has seen, so
after a crash between them, writing again adds what is missing. Readers that see an event thus see all of it.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec

from cdp.errors import StoreUnavailable
from cdp.model import NO_WINDOWS, Millis, SetId, Window, Windows
from profiles import events_clickhouse_typed as typed
from profiles.events_clickhouse_client import Client, open_clients, rows_of, unavailable
from profiles.events_clickhouse_erasing import ClickHouseErasing
from profiles.events_clickhouse_mirror import ClickHouseLeads, ClickHouseMirror
from profiles.events_clickhouse_tables import add_settings, make_tables
from profiles.events_clickhouse_where import in_sets, in_windows, of_sets
from profiles.rows import (
    EVENT_COLUMNS,
    READ_COLUMNS,
    TRAIT_COLUMNS,
    TYPED_COLUMNS,
    event_dict,
    event_lines,
    trait_lines,
)
from profiles.store import NOTHING, STORE, Cursor, SetSummary, StoredEvent, TraitRow

FIRST_WINDOW_MS = 600_000
WINDOW_GROWTH = 16
SCAN_PAGE = 5_000

_decoder = lru_cache(msgspec.json.Decoder)


class ClickHouseEvents:
    """See `profiles.store.EventStore`."""

    def __init__(self, url: str) -> None:
        """Opens it, and makes the tables that are missing. Raises what `open_clients` does."""
        self._clients = open_clients(url)
        self._background, self._writer = self._clients.background, self._clients.writer
        self._profiling = self._clients.profiling
        self._readers = _queue_of(self._clients.reading)
        self._askers, self._watchers = _queue_of(self._clients.asking), _queue_of([self._clients.watching])
        self._embedded = url.startswith("chdb:")
        with unavailable():
            self._places = make_tables(self._background, embedded=self._embedded)
        self._closed = False
        self.erasing = ClickHouseErasing(self._background, self._places)
        self.mirror = ClickHouseMirror(self._query, self._insert, self.erasing.delete)
        self.leads = ClickHouseLeads(self._query, self._insert, self.erasing.delete)

    def bring_up(self) -> None:
        with unavailable():
            add_settings(self._background, embedded=self._embedded)
        if self._query("SELECT 1 FROM upgrades WHERE name = {name:String}", {"name": typed.NAME}):
            return
        typed.fill(self._background, self._places[typed.NAME].altered)
        with unavailable():
            self._insert("upgrades", "name", b'["typed_events"]', typed.NAME)

    def write(self, rows: Sequence[StoredEvent], *, token: str, again: bool = False) -> None:
        if not rows:
            return
        stored = self._stored(rows) if again else set()
        with unavailable():
            if "traits" not in stored and (traits := trait_lines(rows)):
                self._insert("traits", TRAIT_COLUMNS, traits, f"{token}/traits")
            lines, typed_lines = event_lines(rows)
            if "typed_events" not in stored:
                self._insert("typed_events", TYPED_COLUMNS, typed_lines, f"{token}/typed")
            if "events" not in stored:
                self._insert("events", EVENT_COLUMNS, lines, f"{token}/events")

    def _stored(self, rows: Sequence[StoredEvent]) -> set[str]:
        """The tables that hold these rows, whatever became of their tokens. One row is looked for, as a block is stored
        as a whole or not at all."""
        if any(place.syncs_tokens for place in self._places.values()) or not _in_one_month(rows):
            return set()
        looked_for = [("events", "id", rows[0]), ("typed_events", "id", rows[0])]
        looked_for += [("traits", "event", row) for row in rows if row.event.traits][:1]
        found = [
            f"SELECT '{table}' FROM {table} WHERE {in_sets([row.set])} AND occurred_at = {row.event.occurred_at}"
            f" AND {column} = {{{table}:String}} LIMIT 1"
            for table, column, row in looked_for
        ]
        values = {table: row.event.id for table, _, row in looked_for}
        return {table for (table,) in self._query(" UNION ALL ".join(found), values)}

    def _insert(self, table: str, columns: str, lines: bytes, token: str) -> None:
        self._writer.raw_insert(
            table,
            column_names=[name.strip("`") for name in columns.split(", ")],
            insert_block=self._clients.packed(lines),
            compression=self._clients.packing,
            fmt="JSONCompactEachRow",
            settings={"insert_deduplication_token": token},
        )

    def trail(
        self, sets: Sequence[SetId], *, limit: int, before: Cursor | None = None, windows: Windows = NO_WINDOWS
    ) -> list[dict[str, Any]]:
        if not sets:
            return []
        where = of_sets(sets, windows)
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

    def events_of(self, event_ids: Collection[str]) -> list[dict[str, Any]]:
        if not event_ids:
            return []
        return self._events("WHERE id IN {ids:Array(String)}", {"ids": sorted(event_ids)})

    def events_between(
        self, sets: Sequence[SetId], *, after: Millis, until: Millis, windows: Windows = NO_WINDOWS
    ) -> list[dict[str, Any]]:
        if not sets:
            return []
        return self._events(
            f"WHERE {of_sets(sets, windows)} AND occurred_at > {{after:Int64}} AND occurred_at <= {{until:Int64}}"
            " ORDER BY occurred_at, id",
            {"after": after, "until": until},
        )

    def moments(self, sets: Collection[SetId], within: Sequence[Window]) -> list[tuple[Millis, SetId]]:
        if not sets or not within:
            return []
        where = f"{in_sets(sets)} AND {in_windows(within)}"
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
            f" WHERE {of_sets(sets, windows)}{bound} ORDER BY occurred_at, event, `order`",
            {} if until is None else {"until": until},
        )
        return [TraitRow(*row) for row in rows]

    def summaries(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> list[SetSummary]:
        if not sets:
            return []
        rows = self._query(
            "SELECT set, count(), min(occurred_at), max(occurred_at) FROM events"
            f" WHERE {of_sets(sets, windows)} GROUP BY set"
        )
        return [SetSummary(*row) for row in rows]

    def facts(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> tuple[list[TraitRow], list[SetSummary]]:
        if not sets:
            return [], []
        where = of_sets(sets, windows)
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

    def ask(
        self,
        text: str,
        values: Mapping[str, Any],
        *,
        tables: Mapping[str, str] = NOTHING,
        aside: bool = False,
        row: Any = list[Any],
    ) -> list[Any]:
        with unavailable(), _one_of(self._watchers if aside else self._askers) as client:
            try:
                # Of a question that broke off one may be left. No commands: their values go into the address, those
                # of a query only where its text is longer than 128 KiB.
                for name, made in tables.items():
                    client.raw_query(f"CREATE OR REPLACE TEMPORARY TABLE {name} {made}", _placed(made, values))
                found = client.raw_query(text, _placed(text, values), fmt="JSONCompactEachRow")
                return _decoder(row).decode_lines(found)
            finally:
                for name in tables:
                    client.command(f"DROP TEMPORARY TABLE IF EXISTS {name}")

    def count(self) -> int:
        return int(self._query("SELECT count() FROM events")[0][0])

    def probe(self) -> None:
        with unavailable():
            self._writer.raw_insert("probes", insert_block=b"[1]", fmt="JSONCompactEachRow")
        if self._query("SELECT max(at) FROM probes") != [[1]]:
            raise StoreUnavailable(STORE, "what was written does not come back")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._clients.close()

    def _events(self, rest: str, values: dict[str, Any], *, client: Client | None = None) -> list[dict[str, Any]]:
        return [
            event_dict(row) for row in self._query(f"SELECT {READ_COLUMNS} FROM events {rest}", values, client=client)
        ]

    def _query(
        self, sql: str, values: dict[str, Any] | None = None, *, client: Client | None = None
    ) -> list[list[Any]]:
        if client is not None:
            return rows_of(client, sql, values)
        with _one_of(self._readers) as reader:
            return rows_of(reader, sql, values)


def _placed(text: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Those that the text has a place for. Where there are others, the client takes a % in a text without any for a
    place of theirs."""
    return {name: value for name, value in values.items() if f"{{{name}:" in text} or None


def _queue_of(clients: Iterable[Client]) -> queue.SimpleQueue[Client]:
    found: queue.SimpleQueue[Client] = queue.SimpleQueue()
    for client in clients:
        found.put(client)
    return found


@contextmanager
def _one_of(clients: queue.SimpleQueue[Client]) -> Iterator[Client]:
    client = clients.get()
    try:
        yield client
    finally:
        clients.put(client)


def _in_one_month(rows: Sequence[StoredEvent]) -> bool:
    """Whether the rows make one block: each month of receipt is a partition, with a block of its own."""
    received = [row.event.received_at for row in rows]
    return time.gmtime(min(received) / 1000)[:2] == time.gmtime(max(received) / 1000)[:2]
