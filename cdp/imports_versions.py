"""Versions of one record, as a CRM exports it again and again: the evidence of the latest counts, that of others rests.

Which version is the latest follows from the times that they tell, not from the order of imports. So when the import
that brought it is undone, the one before it counts again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, String, Table, Text, select

from cdp.model import Millis, SetId
from cdp.records import chunks, insert_ignoring, metadata, reading, writing
from cdp.tombstones import Tombstones, covered
from cdp.vault import Vault
from identity.engine import IdentityEngine
from identity.erase import ERASED
from identity.observation import Observation, ObservationId, observation_id, row_observation_id, set_id

SUPERSEDED = "superseded by row "
"""How the note begins of evidence that rests."""

version_rows = Table(
    "record_versions",
    metadata,
    Column("source", String(200), primary_key=True),
    Column("key", String(20), primary_key=True),
    Column("event", String(32), primary_key=True, index=True),
    Column("at", BigInteger, nullable=False),
    Column("said", Text, nullable=False),
)


class Version(NamedTuple):
    """A row that is one version of the record with this key, from `at` on."""

    key: str
    event: str
    at: Millis


@dataclass(frozen=True, slots=True)
class Versions:
    """Whoever settles is in the system's gate."""

    records: Engine
    identity: IdentityEngine
    vault: Vault
    tombstones: Tombstones

    def note(self, source: str, origin: str, versions: Iterable[Version]) -> list[str]:
        """Keep versions that an import brought; the tokens of their keys, to be settled. Idempotent."""
        rows = [
            {
                "source": source,
                # A record's number may be somebody's phone.
                "key": self.vault.token("record", each.key),
                "event": each.event,
                "at": each.at,
                "said": _text([row_observation_id(origin, each.event, 0)]),
            }
            for each in versions
        ]
        if rows:
            with writing(self.records) as connection:
                connection.execute(insert_ignoring(connection, version_rows), rows)
        return [str(row["key"]) for row in rows]

    def said_in(self, events: Sequence[str]) -> tuple[list[ObservationId], list[str]]:
        """All evidence under which these rows' versions ever counted, and the tokens of their keys."""
        said: list[ObservationId] = []
        keys: set[str] = set()
        with reading(self.records) as connection:
            for chunk in chunks(events):
                for row in connection.execute(select(version_rows).where(version_rows.c.event.in_(chunk))):
                    said += _ids(row.said)
                    keys.add(row.key)
        return said, sorted(keys)

    def forget(self, connection: Connection, events: Sequence[str]) -> None:
        """These rows are no versions any more."""
        for chunk in chunks(events):
            connection.execute(version_rows.delete().where(version_rows.c.event.in_(chunk)))

    def settle(self, source: str, keys: Collection[str]) -> frozenset[SetId]:
        """See to it that of each record the latest version counts and no other; the sets that are now another's.
        Idempotent."""
        rest: dict[ObservationId, str] = {}
        latest: list[tuple[str, list[ObservationId]]] = []
        for versions in self._versions(source, keys):
            *older, (_, event, said) = sorted(versions)
            latest.append((event, said))
            rest |= {each: f"{SUPERSEDED}{event}" for _, _, its in older for each in its}
        changed = self.identity.retract(rest).sets if rest else frozenset()
        return frozenset(changed) | self._again(latest)

    def _versions(self, source: str, keys: Collection[str]) -> list[list[tuple[Millis, str, list[ObservationId]]]]:
        found = defaultdict(list)
        with reading(self.records) as connection:
            for chunk in chunks(sorted(keys)):
                mine = (version_rows.c.source == source) & version_rows.c.key.in_(chunk)
                for row in connection.execute(select(version_rows).where(mine)):
                    found[row.key].append((row.at, row.event, _ids(row.said)))
        return list(found.values())

    def _again(self, latest: Sequence[tuple[str, list[ObservationId]]]) -> frozenset[SetId]:
        """Say anew what rested, under another name: evidence that was taken back never counts again."""
        known = {each.id: (each, gone) for each, gone in self._graph_has([one for _, said in latest for one in said])}
        fresh: list[Observation] = []
        for event, said in latest:
            if any(each in known and not known[each][1] for each in said):
                continue
            first, why = known.get(said[0], (None, ""))
            if first is None or not why.startswith(SUPERSEDED) or self._is_erased(first):
                continue
            again = msgspec.structs.replace(first, id=observation_id(f"{first.id}\0again\0{len(said)}"))
            with writing(self.records) as connection:
                mine = version_rows.c.event == event
                connection.execute(version_rows.update().where(mine).values(said=_text([*said, again.id])))
            fresh.append(again)
        return frozenset(self.identity.observe(fresh).sets) if fresh else frozenset()

    def _graph_has(self, ids: Sequence[ObservationId]) -> list[tuple[Observation, str]]:
        return self.identity.graph.observations(ids)

    def _is_erased(self, said: Observation) -> bool:
        if any(each.value.startswith(f"{ERASED}-") for each in said.identifiers):
            return True
        stones = self.tombstones.of(said.identifiers, set_id(said.identifiers))
        return covered(stones, occurred_at=said.occurred_at, received_at=said.occurred_at)


def _text(said: Sequence[ObservationId]) -> str:
    return msgspec.json.encode(said).decode()


def _ids(text: str) -> list[ObservationId]:
    return msgspec.json.decode(text, type=list[ObservationId])
