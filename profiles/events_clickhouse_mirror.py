"""What other stores know, in ClickHouse: whose the events of each set are (`owners`, `owned`), and leads (`leads`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec

from cdp.model import PersonId, SetId
from profiles.events_clickhouse_client import unavailable
from profiles.events_clickhouse_where import in_sets
from profiles.store import NOBODY, LeadRow, OwnerRow

PAGE = 20_000
AT_ONCE = 5_000
"""Sets or persons in one statement."""

_lines = msgspec.json.Encoder().encode_lines
_NEWEST = (
    "SELECT set, newest.1, newest.2, newest.3, newest.4, newest.5 FROM (SELECT set,"
    " argMax((version, person, starts, persons, kinds), version) AS newest FROM owners WHERE {} GROUP BY set)"
)


class ClickHouseMirror:
    """See `profiles.store.Mirror`. `query`, `insert` and `delete` are those of the store whose tables these are."""

    def __init__(
        self,
        query: Callable[[str], list[list[Any]]],
        insert: Callable[[str, str, bytes, str], None],
        delete: Callable[[str, str], None],
    ) -> None:
        self._query, self._insert, self._delete = query, insert, delete

    def own(self, rows: Collection[OwnerRow]) -> None:
        if not rows:
            return
        # What a set is found by comes first, so that nobody misses it. A token of its own for each: the engine drops a
        # block that it has seen, but what was true before may be so again.
        token = uuid4().hex
        pairs = [(person, row.set, row.version) for row in rows for person in sorted(row.owners())]
        told = [
            (row.set, row.version, _uuid(row.person), row.starts, [_uuid(each) for each in row.persons], row.kinds)
            for row in rows
        ]
        with unavailable():
            if pairs:
                self._insert("owned", "person, set, version", _lines(pairs), token)
            self._insert("owners", "set, version, person, starts, persons, kinds", _lines(told), token)

    def owners(self, sets: Collection[SetId]) -> list[OwnerRow]:
        return [
            OwnerRow(SetId(each), version, _person(person), tuple(starts), tuple(map(_person, persons)), tuple(kinds))
            for some in _parts(sets)
            for each, version, person, starts, persons, kinds in self._query(_NEWEST.format(in_sets(some)))
        ]

    def owned_sets(self, persons: Collection[PersonId]) -> set[SetId]:
        wanted = set(persons)
        return {row.set for row in self.owners(self.sets_ever(wanted)) if not wanted.isdisjoint(row.owners())}

    def sets_ever(self, persons: Collection[PersonId]) -> set[SetId]:
        found: set[SetId] = set()
        for some in _parts(persons):
            listed = ",".join(f"'{UUID(each)}'" for each in some)
            rows = self._query(f"SELECT DISTINCT set FROM owned WHERE person IN ({listed})")
            found.update(SetId(each) for (each,) in rows)
        return found

    def every_set(self) -> Iterator[SetId]:
        last = -1
        while page := self._query(f"SELECT DISTINCT set FROM owners WHERE set > {last} ORDER BY set LIMIT {PAGE}"):
            yield from (SetId(each) for (each,) in page)
            last = page[-1][0]

    def forget_before(self, rows: Collection[OwnerRow]) -> None:
        for some in _parts(rows):
            sets, versions = ([row.set for row in some], [row.version for row in some])
            older = f"{in_sets(sets)} AND version < transform(set, {sets}, {versions}, 0)"
            with unavailable():
                for table in ("owned", "owners"):
                    self._delete(table, older)


class ClickHouseLeads:
    """See `profiles.store.MirroredLeads`; the rest as for `ClickHouseMirror`."""

    def __init__(
        self,
        query: Callable[[str, dict[str, Any]], list[list[Any]]],
        insert: Callable[[str, str, bytes, str], None],
        delete: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self._query, self._insert, self._delete = query, insert, delete

    def write(self, rows: Collection[LeadRow]) -> None:
        if rows:
            with unavailable():
                self._insert("leads", "id, version, subject, created_at, fields", _lines(rows), uuid4().hex)

    def versions(self, leads: Collection[str]) -> dict[str, int]:
        asked = "SELECT id, max(version) FROM leads WHERE id IN {ids:Array(String)} GROUP BY id"
        return {lead: version for some in _parts(leads) for lead, version in self._query(asked, {"ids": some})}

    def forget_before(self, versions: Mapping[str, int]) -> None:
        lowest = "transform(id, {ids:Array(String)}, {versions:Array(UInt64)}, 0)"
        for some in _parts(versions):
            values = {"ids": some, "versions": [versions[each] for each in some]}
            with unavailable():
                self._delete("leads", f"id IN {{ids:Array(String)}} AND version < {lowest}", values)


def _parts(wanted: Collection[Any]) -> Iterator[list[Any]]:
    ordered = sorted(wanted)
    return (ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE))


def _uuid(person: PersonId | None) -> str:
    return person or NOBODY


def _person(uuid: str) -> PersonId | None:
    return None if uuid == NOBODY else PersonId(uuid)
