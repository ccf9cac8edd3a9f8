"""The event store: ClickHouse's engine in this process, or a server.

A table is one month of receipt of one table of the engine, its partition: there alone a block is written whole or not
at all. Rows go over in the engine's own form, and are counted and hashed where they lie. Whose the events are is not
moved: it follows from the graph, and is filled anew where the product starts next.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from cdp.errors import Refused
from cdp.move.contents import Digest, Key, Page
from profiles.events_clickhouse_client import open_clients, unavailable
from profiles.events_clickhouse_tables import DERIVED, Place, make_tables

PAGE_ROWS = 20_000
"""Of about 1 KB each."""

_LEFT = {"probes", "upgrades", *DERIVED}
_rows = msgspec.json.Decoder(list[Any])


class Shape(NamedTuple):
    """Columns of a table of the engine, quoted: all by name, and those that it is sorted by with their types."""

    columns: list[str]
    key: dict[str, str]


class EventContents:
    """`cdp.move.contents.Contents`; a page is bytes."""

    def __init__(self, url: str) -> None:
        """Makes tables that are missing."""
        self._clients = open_clients(url)
        self._reader, self._writer = self._clients.background, self._clients.writer
        with unavailable():
            places = make_tables(self._reader, embedded=url.startswith("chdb:"))
        if spread := [place.cluster for place in places.values() if place.cluster]:
            # A block is written whole on each server, but not on all of them.
            self.close()
            raise Refused(f"The events are spread over the cluster {spread[0]}. Only those of one server can be moved.")
        self._shapes = {name: self._shape(place) for name, place in places.items() if name not in _LEFT}
        # A client may send a request again whose answer was lost. Another run is another matter: its target may have
        # been emptied in between.
        self._run, self._added = uuid.uuid4().hex, 0

    def tables(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for name in self._shapes:
            months = f"SELECT _partition_id, count() FROM {name} GROUP BY _partition_id ORDER BY _partition_id"
            found |= {f"{name} {month}": count for month, count in self._ask(months, {})}
        return found

    def last(self, table: str) -> Key | None:
        name, where = _part(table)
        key = self._shapes[name].key
        newest = ", ".join(f"{each} DESC" for each in key)
        rows = self._ask(f"SELECT {', '.join(key)} FROM {name} WHERE {where} ORDER BY {newest} LIMIT 1", {})
        return tuple(rows[0]) if rows else None

    def pages(self, table: str, after: Key | None) -> Iterator[Page[bytes]]:
        name, where = _part(table)
        until: Key | None = None
        while True:
            values: dict[str, Any] = {}
            wanted = where + self._bound(name, ">", after, values)
            until = self._end_of_page(name, wanted, values)
            wanted += self._bound(name, "<=", until, values)
            [(count,)] = self._ask(f"SELECT count() FROM {name} WHERE {wanted}", values)
            if count:
                with unavailable():
                    rows = self._reader.raw_query(f"SELECT * FROM {name} WHERE {wanted}", values, fmt="Native")
                yield Page(count, rows)
            if until is None:
                return
            after = until

    def add(self, table: str, page: Page[bytes]) -> None:
        name, _ = _part(table)
        self._added += 1
        token = {"insert_deduplication_token": f"{self._run}/{self._added}"}
        with unavailable():
            self._writer.raw_insert(name, insert_block=page.rows, fmt="Native", settings=token)

    def digest(self, table: str, until: Key | None = None) -> Digest:
        name, where = _part(table)
        values: dict[str, Any] = {}
        wanted = where + self._bound(name, "<=", until, values)
        hashed = f"sipHash64({', '.join(self._shapes[name].columns)})"
        [(count, checksum)] = self._ask(f"SELECT count(), sum({hashed}) FROM {name} WHERE {wanted}", values)
        return Digest(count, checksum)

    def close(self) -> None:
        self._clients.close()

    def _end_of_page(self, name: str, wanted: str, values: Mapping[str, Any]) -> Key | None:
        """The key of its last row, so that rows with the same key stay together; None for what is left."""
        key = ", ".join(self._shapes[name].key)
        found = self._ask(
            f"SELECT {key} FROM {name} WHERE {wanted} ORDER BY {key} LIMIT 1 OFFSET {PAGE_ROWS - 1}", values
        )
        return tuple(found[0]) if found else None

    def _bound(self, name: str, sign: str, key: Key | None, values: dict[str, Any]) -> str:
        """The condition that a key compares so, and its values."""
        if key is None:
            return ""
        columns = self._shapes[name].key
        bound = []
        for (column, kind), value in zip(columns.items(), key, strict=True):
            values[f"v{len(values)}"] = value
            bound.append((column, f"{{v{len(values) - 1}:{kind}}}"))
        first, its_bound = bound[0]
        # The engine finds rows by the first column alone; of a comparison of tuples it reads everything.
        near = f"{first} {'>=' if sign == '>' else '<='} {its_bound}"
        return f" AND {near} AND ({', '.join(columns)}) {sign} ({', '.join(each for _, each in bound)})"

    def _shape(self, place: Place) -> Shape:
        its = f"database = '{place.database}'"
        [(key,)] = self._ask(f"SELECT sorting_key FROM system.tables WHERE {its} AND name = '{place.table}'", {})
        listed = f"SELECT name, type FROM system.columns WHERE {its} AND table = '{place.table}' ORDER BY name"
        kinds = {f"`{name}`": kind for name, kind in self._ask(listed, {})}
        return Shape(list(kinds), {each: kinds[each] for each in (f"`{part.strip('`')}`" for part in key.split(", "))})

    def _ask(self, sql: str, values: Mapping[str, Any]) -> list[list[Any]]:
        with unavailable():
            answer = self._reader.raw_query(sql, dict(values), fmt="JSONCompactEachRow")
        return _rows.decode_lines(answer)


def _part(table: str) -> tuple[str, str]:
    """The table of the engine, and the condition for its partition."""
    name, _, month = table.partition(" ")
    if not month.isdecimal():
        raise Refused(f"There is no table {table!r} of events.")
    return name, f"_partition_id = '{month}'"
