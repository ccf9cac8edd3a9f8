"""A story told event by event, and whom a segment means in it: by the compiled query and the slow evaluator alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cdp.model import Event, EventId, EventType, Millis, Operation, PersonId, SetId, TraitChange, as_json
from profiles.store import StoredEvent
from segments.language import parse
from segments.tree import Definition, Entity
from tests.oracle.makers import NOW
from tests.segments.clocks import Clock
from tests.segments.compared import Said, assert_agreed
from tests.segments.histories import Case, World
from tests.segments.store import StoredWorlds

TZ = "Asia/Shanghai"
NOTHING: Mapping[str, Any] = {}


class Story:
    """Visitors are persons of their own name, until `is_one` says otherwise."""

    def __init__(self, worlds: StoredWorlds) -> None:
        self._worlds = worlds
        self.rows: list[StoredEvent] = []
        self._persons: dict[str, str] = {}
        self._leads: list[Mapping[str, Any]] = []

    def knows(self, *visitors: str) -> None:
        for visitor in visitors:
            self._persons.setdefault(visitor, visitor)

    def is_one(self, person: str, *visitors: str) -> None:
        self._persons |= dict.fromkeys(visitors, person)

    def tell(
        self, visitor: str, name: str, at: Millis, *, traits: Mapping[str, Any] = NOTHING, **properties: Any
    ) -> None:
        self.knows(visitor)
        id_ = f"{len(self.rows):04d}"
        event = Event(
            id=EventId(id_),
            client_id=id_,
            type=EventType.TRACK,
            name=name,
            original_name=name,
            occurred_at=at,
            received_at=at,
            source="site",
            dialect="segment",
            hit="0-0",
            properties=as_json(properties).encode(),
            traits=tuple(TraitChange(Operation.SET, trait, as_json(value)) for trait, value in traits.items()),
        )
        self.rows.append(StoredEvent(event, self._set(visitor)))

    def lead(self, id_: str, visitor: str, at: Millis, stage: str = "new") -> None:
        self.knows(visitor)
        known = {"id": id_, "subject": self._set(visitor), "created_at": at, "source": "site", "stage": stage}
        self._leads.append({**known, "campaign": {}, "interest": {}, "contact": {}})

    def members(self, document: Any, now: Millis = NOW, others: Mapping[str, Any] = NOTHING) -> set[str]:
        """By name; of a segment of leads, by id."""
        return {unit for unit, (member, _) in self.said(document, now, others).items() if member}

    def said(self, document: Any, now: Millis = NOW, others: Mapping[str, Any] = NOTHING) -> dict[str, Said]:
        definition, segments = _parsed(document), {name: _parsed(each) for name, each in others.items()}
        owned: Any = {self._set(visitor): [(None, _id(person))] for visitor, person in self._persons.items()}
        world = World(now, tuple(self.rows), owned, {}, tuple(self._leads))
        case = Case(Clock(now, TZ, (), ()), world, (definition,), segments, {})
        heard = assert_agreed(self._worlds.evaluator_of(case), case, [definition], now)
        return {self._name(definition.entity, unit): said for (_, unit), said in heard.items()}

    def _set(self, visitor: str) -> SetId:
        return SetId(list(self._persons).index(visitor) + 1)

    def _name(self, entity: Entity, unit: str) -> str:
        names = {_id(person): person for person in self._persons.values()}
        return unit if entity is Entity.LEAD else names[PersonId(unit)]


def _parsed(document: Any) -> Definition:
    full = document if "v" in document else {"v": 1, "entity": "person", "where": document}
    return parse(full, tz=TZ)


def _id(person: str) -> PersonId:
    return PersonId(str(uuid5(NAMESPACE_URL, person)))
