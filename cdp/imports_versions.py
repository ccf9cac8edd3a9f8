"""Versions of one record, as a CRM exports it again and again: the evidence of the latest counts, and of earlier ones
what it leaves blank; the rest of theirs rests.

Which version is the latest follows from the times that they tell, not from the order of imports. So when the import
that brought it is undone, the one before it counts again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, String, Table, Text, select

from cdp.model import Identifier, Millis, SetId
from cdp.records import chunks, insert_ignoring, metadata, reading, writing
from cdp.tombstones import Tombstones, covered
from cdp.vault import Vault
from identity.erase import ERASED
from identity.observation import Observation, ObservationId, observation_id, row_observation_id, set_id
from identity.verbs import Identity

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
    """A row that is one version of the record with this key, from `at` on; `set` is that of its event."""

    key: str
    event: str
    at: Millis
    set: SetId


class Kept(msgspec.Struct, frozen=True):
    """All evidence under which a version ever counted, the row's own first, and its identifiers by their set."""

    said: list[ObservationId]
    set: int = 0


Stored = tuple[Millis, str, Kept]
"""A version: since when, which event, and what is kept of it."""
Known = Mapping[ObservationId, tuple[Observation, str]]
"""Evidence, and why it was taken back."""
Members = Mapping[SetId, Sequence[Identifier]]


@dataclass(frozen=True, slots=True)
class Versions:
    """Whoever settles is in the system's gate."""

    records: Engine
    identity: Identity
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
                "said": _text(Kept(said=[row_observation_id(origin, each.event, 0)], set=each.set)),
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
                    said += _kept(row.said).said
                    keys.add(row.key)
        return said, sorted(keys)

    def forget(self, connection: Connection, events: Sequence[str]) -> None:
        """These rows are no versions any more."""
        for chunk in chunks(events):
            connection.execute(version_rows.delete().where(version_rows.c.event.in_(chunk)))

    def settle(self, source: str, keys: Collection[str]) -> frozenset[SetId]:
        """See to it that of each record the latest version counts, and of earlier ones what later ones leave blank; the
        sets that are now another's. Idempotent."""
        records = self._versions(source, keys)
        said = [each for versions in records for _, _, kept in versions for each in kept.said]
        known = {each.id: (each, gone) for each, gone in self.identity.graph.observations(said)}
        several = [SetId(kept.set) for versions in records if len(versions) > 1 for _, _, kept in versions]
        members = {
            each: [member.identifier for member in those]
            for each, those in self.identity.members_of_sets(several).items()
        }
        rest: dict[ObservationId, str] = {}
        fresh: list[Observation] = []
        for versions in records:
            newest_first = sorted(versions, key=lambda each: each[:2], reverse=True)
            for (_, event, kept), wanted in zip(newest_first, _wanted(newest_first, known, members), strict=True):
                counting = [each for each in kept.said if each in known and not known[each][1]]
                right = [each for each in counting if set(known[each][0].identifiers) == wanted][:1]
                rest |= {each: f"{SUPERSEDED}{newest_first[0][1]}" for each in counting if each not in right}
                if wanted and not right and (again := self._again(kept, known, wanted)):
                    self._keep(event, Kept(said=[*kept.said, again.id], set=kept.set))
                    fresh.append(again)
        changed = frozenset(self.identity.retract(rest).sets) if rest else frozenset()
        return changed | (frozenset(self.identity.observe(fresh).sets) if fresh else frozenset())

    def _versions(self, source: str, keys: Collection[str]) -> list[list[Stored]]:
        found = defaultdict(list)
        with reading(self.records) as connection:
            for chunk in chunks(sorted(keys)):
                mine = (version_rows.c.source == source) & version_rows.c.key.in_(chunk)
                for row in connection.execute(select(version_rows).where(mine)):
                    found[row.key].append((row.at, row.event, _kept(row.said)))
        return list(found.values())

    def _again(self, kept: Kept, known: Known, wanted: Collection[Identifier]) -> Observation | None:
        """Say anew, under another name, what rests or of what a part rests: evidence that was taken back never counts
        again. None where it went for another reason, or never was."""
        first, why = known.get(kept.said[0], (None, ""))
        if first is None or (why and not why.startswith(SUPERSEDED)) or self._is_erased(first):
            return None
        told = tuple(each for each in first.identifiers if each in wanted)
        name = observation_id(f"{first.id}\0again\0{len(kept.said)}")
        return msgspec.structs.replace(first, id=name, identifiers=told)

    def _keep(self, event: str, kept: Kept) -> None:
        with writing(self.records) as connection:
            connection.execute(version_rows.update().where(version_rows.c.event == event).values(said=_text(kept)))

    def _is_erased(self, said: Observation) -> bool:
        if any(each.value.startswith(f"{ERASED}-") for each in said.identifiers):
            return True
        stones = self.tombstones.of(said.identifiers, set_id(said.identifiers))
        return covered(stones, occurred_at=said.occurred_at, received_at=said.occurred_at)


def _wanted(newest_first: Sequence[Stored], known: Known, members: Members) -> list[set[Identifier]]:
    """What of each version's evidence counts: an identifier whose kind no later version names, or that the next one
    which names the kind has as well; nothing where a later version says as much."""
    named: dict[str, set[Identifier]] = {}
    found: list[set[Identifier]] = []
    for _, _, kept in newest_first:
        first = known[kept.said[0]][0].identifiers if kept.said[0] in known else ()
        held = {each for each in first if each in named.get(each.kind, {each})}
        found.append(held if len(held) > 1 and not any(held <= later for later in found) else set())
        of_kind = defaultdict(set)
        for each in members.get(SetId(kept.set), first):
            of_kind[each.kind].add(each)
        named = of_kind | named
    return found


def _text(kept: Kept) -> str:
    return msgspec.json.encode(kept).decode()


def _kept(text: str) -> Kept:
    return msgspec.json.decode(text, type=Kept)
