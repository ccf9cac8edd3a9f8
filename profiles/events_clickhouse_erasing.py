"""What is taken away for good from ClickHouse: by an erasure, by an import that is undone, and by retention.

All of it goes through the client for slow work: to find it reads whole months, and to delete rewrites their files.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cdp.errors import StoreUnavailable
from cdp.model import NO_WINDOWS, Millis, SetId, Windows
from profiles.events_clickhouse_client import Client, rows_of, unavailable
from profiles.events_clickhouse_tables import DERIVED, TEXTS, Place
from profiles.events_clickhouse_where import came_in, in_sets, of_sets
from profiles.rows import READ_COLUMNS, event_dict
from profiles.store import STORE, Came

MARKED = r"⟦\\w+:([\\w\\-=]+)⟧"
"""A marker of `cdp.scrub`, with its token as the only group, as it stands in a text of SQL."""
NEEDLES = 200
"""Searched for at once; the engine takes 255."""
PURGE_S, PURGE_LOOK_S = 60.0, 0.2
WRITTEN = ("traits", "typed_events", "events")
"""What an event is in. By the last it is found what is to be deleted in the others, also when it is done again."""
PURGED = (*WRITTEN, *DERIVED)


class ClickHouseErasing:
    """See `profiles.store.Erasing`."""

    def __init__(self, client: Client, places: Mapping[str, Place]) -> None:
        self._client, self._places = client, places

    def delete_sets(
        self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS, received_until: Millis | None = None
    ) -> int:
        if not sets:
            return 0
        where = of_sets(sets, windows)
        if received_until is not None:
            where += f" AND received_at <= {int(received_until)}"
        with unavailable():
            counted = self._client.raw_query(f"SELECT count() FROM events WHERE {where}", fmt="TSV")
            for table in WRITTEN:
                self.delete(table, where)
        return int(counted)

    def that_came(self, came: Came, *, after: str = "", limit: int) -> list[dict[str, Any]]:
        where, values = came_in(came)
        rest = f"WHERE {where} AND id > {{after:String}} ORDER BY id LIMIT {int(limit)}"
        rows = self._query(f"SELECT {READ_COLUMNS} FROM events {rest}", values | {"after": after})
        return [event_dict(row) for row in rows]

    def other_sets(self, sets: Collection[SetId], came: Came) -> set[SetId]:
        if not sets:
            return set()
        where, values = came_in(came)
        rows = self._query(f"SELECT DISTINCT set FROM events WHERE {in_sets(sets)} AND NOT ({where})", values)
        return {SetId(each) for (each,) in rows}

    def delete_that_came(self, came: Came) -> int:
        where, values = came_in(came)
        with unavailable():
            counted = self._client.raw_query(f"SELECT count() FROM events WHERE {where}", values, fmt="TSV")
            # Traits know their event and not its hit, so they go first.
            ids = f"SELECT id FROM {self._places['events'].name} WHERE {where}"
            self.delete("traits", f"source = {{source:String}} AND event IN ({ids})", values)
            self.delete("typed_events", f"source = {{source:String}} AND id IN ({ids})", values)
            self.delete("events", where, values)
        return int(counted)

    def markers(self, sets: Sequence[SetId], *, windows: Windows = NO_WINDOWS) -> set[str]:
        if not sets:
            return set()
        found = [
            f"SELECT arrayJoin(extractAll({column}, '{MARKED}')) AS token FROM {table} WHERE {of_sets(sets, windows)}"
            for table, column in TEXTS.items()
        ]
        rows = self._query(f"SELECT DISTINCT token FROM ({' UNION ALL '.join(found)})")
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
                    f" FROM {table} WHERE received_at >= {since} AND multiSearchAny({column}, [{needles}])"
                )
                found.update(token for (token,) in rows)
        return found

    def purge(self) -> None:
        with unavailable():
            for table in PURGED:
                self._alter(table, "MODIFY SETTING old_parts_lifetime = 1")
            try:
                old = self._old_parts()
                deadline = time.monotonic() + PURGE_S
                while old & self._old_parts():
                    if time.monotonic() > deadline:
                        raise StoreUnavailable(STORE, "it keeps parts that were rewritten")
                    time.sleep(PURGE_LOOK_S)
            finally:
                for table in PURGED:
                    self._alter(table, "RESET SETTING old_parts_lifetime")

    def _old_parts(self) -> set[tuple[str, ...]]:
        """Parts that were replaced by others and are still on a disk."""
        listed = [f"SELECT hostName(), table, name FROM {self._places[table].parts} AND NOT active" for table in PURGED]
        return {tuple(part) for part in self._query(" UNION ALL ".join(listed))}

    def trim(self, before: Millis) -> None:
        with unavailable():
            for table in WRITTEN:
                self._trim(table, int(before))

    def _trim(self, table: str, before: Millis) -> None:
        # Whole months are dropped, which costs nothing; only the month of the bound is rewritten.
        asked = f"SELECT _partition_id, min(received_at), max(received_at) FROM {table} GROUP BY _partition_id"
        bounds = self._query(asked)
        for partition, _, newest in bounds:
            if newest < before:
                self._alter(table, f"DROP PARTITION ID '{partition}'")
        if any(oldest < before <= newest for _, oldest, newest in bounds):
            self.delete(table, f"received_at < {before}")

    def delete(self, table: str, where: str, values: dict[str, Any] | None = None) -> None:
        """Rows of one table. Durable on return."""
        self._alter(table, f"DELETE WHERE {where}", values)

    def _alter(self, table: str, change: str, values: dict[str, Any] | None = None) -> None:
        self._client.command(f"ALTER TABLE {self._places[table].altered} {change}", values)

    def _query(self, sql: str, values: dict[str, Any] | None = None) -> list[list[Any]]:
        return rows_of(self._client, sql, values)
