"""The one evaluator: who is in segments, at any moment, for everybody or for some; and what people ask about it.

Everything is a function of what is known to have happened by a moment, and of that moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from secrets import randbits
from typing import Any

from cdp.errors import StoreUnavailable
from cdp.model import Millis, PersonId, SetId
from profiles.store import EventStore
from segments.catalogue import Catalogue
from segments.known import Known
from segments.mentions import with_reached
from segments.sql import Query, explain_query, overlap_query, preview_query, verdicts_query
from segments.sql_leaves import Held
from segments.sql_source import CLASH, Scope
from segments.sql_values import portions
from segments.tree import All, Definition, Definitions, Entity
from segments.verdict import Estimate, LeafTruth, Preview, Slice, Verdicts
from segments.walk import leaves_of, steps_of

SAMPLE = 64
"""An estimate looks at one unit of so many."""
Z = 1.959964
"""Of the standard normal distribution: 95 % lie within it on both sides."""
NO_OTHERS: Definitions = {}
MANY_UNITS = 1_000
"""Of fewer it is not asked whether all events are read sooner than theirs: small questions go one way in any store."""
ROWS_A_UNIT = 5_000
"""So many rows are read for all units in the time in which the events of one are found and read."""


class Evaluator:
    """Thread-safe. `held` says since when units have been members of a segment at a moment, as recorded: all of them or
    these. One that asks all the time does so `aside`, see `profiles.store.EventStore.ask`. Raises StoreUnavailable."""

    def __init__(self, events: EventStore, held: Held, *, aside: bool = False) -> None:
        self._events, self._held, self._aside = events, held, aside
        self._catalogue = Catalogue(events)

    def evaluate(
        self,
        definitions: Sequence[Definition],
        now: Millis,
        *,
        units: Collection[str] | None = None,
        part: Slice | None = None,
        others: Definitions = NO_OTHERS,
    ) -> Iterator[Verdicts]:
        """See `segments.verdict.Evaluates`."""
        if not definitions or (units is not None and not units):
            return
        if units is None or self._are_many(units, definitions, others):
            scope = replace(self._scope(), units=units)
        else:
            scope = self._scope_of(units, definitions[0].entity)

        def query(scope: Scope) -> Query:
            return verdicts_query(definitions, now, scope, others, self._held)

        # Decoded as what they are, so that nothing is made of them a second time.
        yield from self._ask(replace(scope, part=part), query, row=Verdicts)

    def known(self, *, fresh: bool = False) -> Known:
        """What events, properties and attributes have been seen; a few seconds old at most, or read now."""
        return self._catalogue.known(fresh=fresh)

    def preview(self, definition: Definition, now: Millis, others: Definitions = NO_OTHERS) -> Preview:
        """Exact."""
        leaves = [leaf for _, leaf in leaves_of(definition)]
        whole = self._scope()
        [row] = self._ask(whole, lambda scope: preview_query(definition, leaves, now, scope, others, self._held))
        count, sample, counted, (reach, reached), channels = row
        zero, missing = counted[0::2], counted[1::2]
        if untold := count - sum(channels.values()):
            channels[""] = channels.get("", 0) + untold
        return Preview(count, [unit for _, unit in sample], zero, missing, reach | {"none": count - reached}, channels)

    def estimate(self, definition: Definition, now: Millis, others: Definitions = NO_OTHERS) -> Estimate:
        """From one unit of 64, the same ones each time; with Wilson's interval."""
        scope = self._scope()
        found = self._counts(definition, now, replace(scope, one_of=SAMPLE), others)
        # Nothing but the units themselves is read for this.
        everybody = self._counts(replace(definition, universe=All(), where=All()), now, scope, others)
        return estimate_of(found.get(1, 0), looked_at=sum(found.values()), everybody=everybody.get(1, 0))

    def _counts(self, definition: Definition, now: Millis, scope: Scope, others: Definitions) -> dict[int, int]:
        """How many units meet it (1), and how many do not (0)."""
        [[found]] = self._ask(scope, lambda scope: overlap_query([definition], now, scope, others, self._held))
        return dict(found)

    def overlap(
        self, definitions: Sequence[Definition], now: Millis, others: Definitions = NO_OTHERS
    ) -> dict[frozenset[int], int]:
        """By the places of those that a unit meets, how many meet these and no other; without regions of nobody."""
        [[found]] = self._ask(self._scope(), lambda scope: overlap_query(definitions, now, scope, others, self._held))
        return {frozenset(n for n in range(len(definitions)) if mask >> n & 1): count for mask, count in found if mask}

    def explain(
        self, definition: Definition, unit: str, now: Millis, others: Definitions = NO_OTHERS
    ) -> Sequence[LeafTruth] | None:
        """Each leaf of one unit; None where there is no such unit at that moment."""
        leaves = [leaf for _, leaf in leaves_of(definition)]
        scope = self._scope_of([unit], definition.entity)
        found = self._ask(scope, lambda scope: explain_query(definition, leaves, now, scope, others, self._held))
        if not found:
            return None
        return [LeafTruth(leaf, *told) for leaf, told in zip(leaves, found[0][0], strict=True)]

    def _are_many(self, units: Collection[str], definitions: Sequence[Definition], others: Definitions) -> bool:
        """Whether of these persons it is told sooner by reading all events, were it once for each leaf and step."""
        if len(units) < MANY_UNITS or definitions[0].entity is not Entity.PERSON:
            return False
        reads = sum(_reads(each, others) for each in definitions)
        return reads * self._events.count() < len(units) * ROWS_A_UNIT

    def _scope(self) -> Scope:
        """Everybody."""
        shifting = self._events.ask("SELECT 1 FROM owners WHERE notEmpty(starts) LIMIT 1", {}, aside=self._aside)
        return Scope(shifting=bool(shifting))

    def _scope_of(self, units: Collection[str], entity: Entity) -> Scope:
        return Scope(units=units, sets=self._sets(units, entity))

    def _sets(self, units: Collection[str], entity: Entity) -> set[SetId]:
        """All that they may have events of."""
        mirror = self._events.mirror
        if entity is Entity.PERSON:
            return mirror.sets_ever([PersonId(each) for each in units])
        asked = "SELECT DISTINCT subject FROM leads FINAL WHERE id IN {leads:Array(String)}"
        subjects = {
            SetId(each)
            for some in portions(sorted(units))
            for (each,) in self._events.ask(asked, {"leads": some}, aside=self._aside)
        }
        persons = set[PersonId]().union(*(row.owners() for row in mirror.owners(subjects)))
        return mirror.sets_ever(persons) | subjects

    def _ask(self, scope: Scope, query: Callable[[Scope], Query], *, row: Any = list[Any]) -> list[Any]:
        """Rows of a query, which is asked once more where two persons had one number."""

        def answered() -> list[Any]:
            asked = query(replace(scope, key=(randbits(64), randbits(64))))
            return self._events.ask(asked.text, asked.values, tables=asked.tables, aside=self._aside, row=row)

        try:
            return answered()
        except StoreUnavailable as error:
            if CLASH not in error.cause:
                raise
        return answered()


def _reads(definition: Definition, others: Definitions) -> int:
    """How often all events are read for a definition and those that it names, at most."""
    leaves = [leaf for each in with_reached(definition, others) for _, leaf in leaves_of(each)]
    return sum(max(1, sum(1 for _ in steps_of(leaf, ""))) for leaf in leaves)


def estimate_of(members: int, *, looked_at: int, everybody: int) -> Estimate:
    """Wilson's score interval for the share of members, of `everybody`; what was seen itself is certain."""
    if not looked_at:
        return Estimate(0, 0, everybody)
    share, spread = members / looked_at, Z * Z / looked_at
    middle = (share + spread / 2) / (1 + spread)
    width = Z * math.sqrt(share * (1 - share) / looked_at + spread / looked_at / 4) / (1 + spread)
    low = max(members, math.floor((middle - width) * everybody))
    high = min(everybody - (looked_at - members), math.ceil((middle + width) * everybody))
    return Estimate(round(share * everybody), low, high)
