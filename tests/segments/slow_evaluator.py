"""The slow evaluator of `tests.oracle` on the stores of a system: whose an event is, it asks the graph, and not the
mirror, so that live membership is held against what is true and not against what was copied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from cdp.model import Millis, PersonId, SetId
from cdp.records import reading
from cdp.wiring import System
from leads.store import Card, lead_rows
from profiles.whose import Turn, Whose
from segments.tree import Definition, Entity
from segments.verdict import Verdicts
from tests.oracle import segments as oracle
from tests.oracle.history import Happened, History, TraitSaid

MOST = 100_000


class SlowEvaluator:
    """`asked` counts by whom it was asked: the names of the definitions' fields do not matter, their number does."""

    def __init__(self, system: System, segment_ids: Callable[[], Sequence[str]]) -> None:
        self._system, self._segment_ids = system, segment_ids
        self.asked: list[tuple[int, Collection[str] | None]] = []

    def evaluate(
        self,
        definitions: Sequence[Definition],
        now: Millis,
        *,
        units: Collection[str] | None = None,
        part: tuple[str, str] | None = None,
        others: Mapping[str, Definition] | None = None,
    ) -> Iterator[Verdicts]:
        self.asked.append((len(definitions), units))
        known, kept = others or {}, self._kept(units, now)
        for unit, history in self._histories(definitions[0].entity).items():
            if (units is not None and unit not in units) or (part is not None and not part[0] <= unit < part[1]):
                continue
            places = dict(enumerate(definitions))
            members = tuple(n for n, each in places.items() if oracle.truth(each, history, now, known, kept))
            coming = {n: oracle.next_change(each, history, now, known, kept) for n, each in places.items()}
            nexts = {n: moment for n, moment in coming.items() if moment is not None}
            if members or nexts:
                yield Verdicts(unit, members, nexts)

    def _kept(self, units: Collection[str] | None, now: Millis) -> dict[tuple[str, str], Millis]:
        return {
            (segment, unit): since
            for segment in self._segment_ids()
            for unit, since in self._system.membership.held(segment, units, now).items()
        }

    def _histories(self, entity: Entity) -> dict[str, History]:
        persons = self._persons()
        if entity is Entity.PERSON:
            return persons
        return {
            lead["id"]: History(lead["id"], persons[of].events, lead=lead) if of else History(lead["id"], lead=lead)
            for lead, of in self._leads()
        }

    def _persons(self) -> dict[str, History]:
        system = self._system
        sets = sorted(system.graph.every_set())
        turns = Whose(system.identity, system.events).over_time(sets)
        events, traits = defaultdict(list), defaultdict(list)
        leads: defaultdict[str, list[Any]] = defaultdict(list)
        for row in system.events.trail(sets, limit=MOST):
            events[_at(turns, row["set"], row["occurred_at"])].append(_happened(row))
        for said in system.events.traits(sets):
            value = msgspec.json.decode(said.value)
            told = TraitSaid(said.occurred_at, said.event, said.order, said.operation, said.name, value)
            traits[_at(turns, said.set, said.occurred_at)].append(told)
        for lead, of in self._leads():
            leads[of or ""].append(lead)
        owners = {each.person for over in turns.values() for each in over if each.person}
        return {each: History(each, events[each], traits[each], leads[each]) for each in owners}

    def _leads(self) -> list[tuple[dict[str, Any], PersonId | None]]:
        with reading(self._system.records) as connection:
            rows = connection.execute(select(lead_rows)).all()
        whose = Whose(self._system.identity, self._system.events)
        return [(_lead(row), whose.person_at(row.subject, row.created_at) if row.subject else None) for row in rows]


def _at(turns: Mapping[SetId, Sequence[Turn]], each: SetId, at: Millis) -> str:
    owners = [turn.person for turn in turns[each] if turn.window[0] is None or turn.window[0] <= at]
    return owners[-1] or ""


def _happened(row: Mapping[str, Any]) -> Happened:
    fields = {"type": row["type"], "source": row["source"], "platform": row["platform"] or ""}
    return Happened(row["id"], row["name"], row["occurred_at"], row["properties"], fields)


def _lead(row: Any) -> dict[str, Any]:
    card = msgspec.json.decode(row.card, type=Card)
    columns = ("id", "source", "stage", "owner", "created_at")
    told = {name: getattr(row, name) for name in columns}
    return told | {
        "channel": card.channel,
        "campaign": card.campaign,
        "interest": card.interest,
        "contact": card.contact,
    }
