"""A world in a real event store, as the pipeline, the mirrors and time would have left it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from cdp.model import Millis, PersonId, SetId
from profiles.events_clickhouse import ClickHouseEvents
from profiles.store import BEGINNING, OwnerRow
from segments.evaluate import Evaluator
from tests.segments.histories import SETS, Case, World

TABLES = ("events", "typed_events", "traits", "owners", "owned", "leads")
KINDS: Mapping[SetId, tuple[str, ...]] = {SETS[0]: ("phone",), SETS[1]: ("phone", "wx_openid"), SETS[2]: ("email",)}
"""By which identifiers a set's person can be reached."""


class StoredWorlds:
    """One store for many worlds, one after the other."""

    def __init__(self, store: ClickHouseEvents) -> None:
        self.store, self._count = store, 0

    def evaluator_of(self, case: Case) -> Evaluator:
        """An evaluator over this world alone."""
        self._count += 1
        for table in TABLES:
            self.store._background.command(f"TRUNCATE TABLE {self.store._places[table].altered}")
        self._fill(case.world)
        return Evaluator(self.store, lambda segment, units, at, part: _kept(case, segment))

    def _fill(self, world: World) -> None:
        self.store.write(world.rows, token=f"world {self._count}")
        for version, owned in ((1, world.before), (2, world.owned)):
            self.store.mirror.own([_owner(each, version, over) for each, over in owned.items()])
        lines = b"\n".join(map(_lead, world.leads))
        if lines:
            self.store._insert("leads", "id, version, subject, created_at, fields", lines, f"leads {self._count}")


@contextmanager
def stored_worlds(url: str) -> Iterator[StoredWorlds]:
    store = ClickHouseEvents(url)
    for table in TABLES:
        # Nothing here outlives the test.
        kept = "fsync_after_insert = 0, fsync_part_directory = 0"
        store._background.command(f"ALTER TABLE {store._places[table].altered} MODIFY SETTING {kept}")
    try:
        yield StoredWorlds(store)
    finally:
        store.close()


def _owner(each: SetId, version: int, over: Any) -> OwnerRow:
    persons: tuple[PersonId | None, ...] = tuple(person for _, person in over)
    starts = tuple(BEGINNING if start is None else start for start, _ in over)
    stretches = (starts, persons) if len(over) > 1 else ((), ())
    return OwnerRow(each, version, persons[-1], *stretches, KINDS.get(each, ()))


def _lead(lead: Mapping[str, Any]) -> bytes:
    fields = {name: each for name, each in lead.items() if name not in ("id", "subject") and each is not None}
    return msgspec.json.encode([lead["id"], 1, lead["subject"], lead["created_at"], fields])


def _kept(case: Case, segment: str) -> Mapping[str, Millis]:
    return {unit: since for (name, unit), since in case.kept.items() if name == segment}
