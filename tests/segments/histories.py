"""Small worlds in which much coincides: few names, few values, moments on the edges of windows, sets that change hands.

`cases` draws a world with segments about it. A world is as the stores take it; `World.histories` is the plain view of
it, for the oracle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from hypothesis import strategies as st

from cdp.model import (
    App,
    Campaign,
    Device,
    Event,
    EventId,
    EventType,
    Operation,
    Page,
    PersonId,
    SetId,
    TraitChange,
    as_json,
)
from profiles.store import StoredEvent
from segments.tree import Definition, Entity, Fn
from tests.oracle.history import Happened, History, TraitSaid
from tests.oracle.values import Millis
from tests.segments.choices import Choices
from tests.segments.clocks import Clock, draw_clock
from tests.segments.definitions import Maker
from tests.segments.words import (
    CAMPAIGNS,
    CHANNELS,
    DELIVERED,
    NUMBERS,
    OWNERS,
    PATHS,
    PLATFORMS,
    SOURCES,
    STAGES,
    WAYS,
    WHEN,
    Words,
    draw_words,
)

SETS = tuple(map(SetId, (7, 2**63 - 1, 1, 2**53 + 1, 2**53)))
OPERATIONS = ("set", "set", "set_once", "increment", "set", "increment", "append", "unset", "delete")

Owned = Mapping[SetId, Sequence[tuple[Millis | None, PersonId | None]]]
"""Whose the events of a set are, from which moment on; None for always, and for nobody."""


@dataclass(frozen=True)
class World:
    """`before` is what the mirror said of some sets before persons were merged or split, `owned` what it says now.
    A lead has a `subject`, the set that it belongs to, and `created_at` in milliseconds."""

    now: Millis
    rows: tuple[StoredEvent, ...]
    owned: Owned
    before: Owned
    leads: tuple[Mapping[str, Any], ...]

    @property
    def persons(self) -> set[PersonId]:
        """Who owns a set, for a while at least."""
        return {person for over in self.owned.values() for _, person in over if person}

    def person_at(self, each: SetId, at: Millis) -> PersonId | None:
        owners = [person for start, person in self.owned.get(each, ()) if start is None or start <= at]
        return owners[-1] if owners else None

    def histories(self, entity: Entity) -> dict[str, History]:
        """What is known of each person, or of each lead, by its id."""
        persons = {person: self._history(person) for person in self.persons}
        if entity is Entity.PERSON:
            return {str(person): history for person, history in persons.items()}
        return {lead["id"]: self._lead(lead, persons) for lead in self.leads}

    def _lead(self, lead: Mapping[str, Any], persons: Mapping[PersonId, History]) -> History:
        person = self.person_at(lead["subject"], lead["created_at"])
        return History(lead["id"], persons[person].events if person else (), lead=_plain(lead))

    def _history(self, person: PersonId) -> History:
        rows = [row.event for row in self.rows if self.person_at(row.set, row.event.occurred_at) == person]
        leads = [_plain(each) for each in self.leads if self.person_at(each["subject"], each["created_at"]) == person]
        return History(person, [_happened(event) for event in rows], list(_said(rows)), leads)


def _plain(lead: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in lead.items() if name != "subject"}


def _happened(event: Event) -> Happened:
    fields = {
        "type": event.type.value,
        "source": event.source,
        "platform": event.platform,
        "dialect": event.dialect,
        "session": event.session,
        "app.id": event.app.id,
        "app.version": event.app.version,
        "device.kind": event.device.kind,
        "device.os": event.device.os,
        "locale": event.locale,
        "ip_city": event.ip_city,
    }
    fields |= {f"page.{name}": getattr(event.page, name) for name in ("url", "path", "title", "referrer")}
    names = ("source", "medium", "name", "term", "content")
    fields |= {f"campaign.{name}": getattr(event.campaign, name) for name in names}
    return Happened(event.id, event.name, event.occurred_at, _value(event.properties), fields)


def _value(text: str | bytes) -> Any:
    """Whole numbers beyond 64 bits are texts."""
    return json.loads(text, parse_int=lambda digits: int(digits) if -(2**63) <= int(digits) < 2**64 else digits)


def _said(events: Sequence[Event]) -> Iterator[TraitSaid]:
    for event in events:
        for order, each in enumerate(event.traits):
            yield TraitSaid(event.occurred_at, event.id, order, each.operation.value, each.name, _value(each.value))


@dataclass(frozen=True)
class Case:
    """`definitions` may name the `segments`; `kept` is since when units have been members of those, as recorded."""

    clock: Clock
    world: World
    definitions: tuple[Definition, ...]
    segments: Mapping[str, Definition]
    kept: Mapping[tuple[str, str], Millis]


def cases(
    *,
    definitions: int = 1,
    entity: Entity | None = None,
    about: type | Fn | None = None,
    tiny: bool = False,
    families: int = 1,
) -> st.SearchStrategy[Case]:
    """`about` is a leaf, an aggregate or a kind of window of which most is to be asked, one for each world otherwise.
    With `tiny`, durations are a few milliseconds. `families` have nothing to do with each other, and are worlds for the
    price of one."""
    # Lists are short, so of many events there are several.
    few = st.lists(st.binary(min_size=EVENT_BYTES, max_size=EVENT_BYTES), max_size=9)
    asked = st.binary(min_size=DEFINITION_BYTES, max_size=DEFINITION_BYTES)
    ground = GROUND_BYTES * families
    return st.builds(
        lambda ground, events, asked: case_of(
            ground, list(chain(*events)), asked, entity=entity, about=about, tiny=tiny
        ),
        st.binary(min_size=ground, max_size=ground),
        st.tuples(*[few] * (2 * families)),
        st.lists(asked, min_size=definitions, max_size=definitions),
    )


GROUND_BYTES, EVENT_BYTES, DEFINITION_BYTES = 160, 24, 96


def case_of(
    ground: bytes,
    events: Sequence[bytes],
    asked: Sequence[bytes],
    *,
    entity: Entity | None = None,
    about: type | Fn | None = None,
    tiny: bool = False,
) -> Case:
    """The same for the same bytes; random ones will do as well. On more ground live more families."""
    choices = Choices(ground)
    clock, said = draw_clock(choices, tiny=tiny), draw_words(choices)
    said = said.about(about) if about else said
    entity = entity or choices.of((Entity.PERSON, Entity.PERSON, Entity.LEAD))
    world = _world(choices, ground, events, clock, said)
    segments: dict[str, Definition] = {}
    for name in ("base", "its own"):
        part = Choices(ground[choices.below(GROUND_BYTES) :])
        segments[name] = Maker(part, clock, said, entity, tuple(segments)).definition()
    kept = {(name, unit): clock.past(choices) for name in segments for unit in sorted(world.histories(entity))}
    kept = {unit: since for unit, since in kept.items() if not choices.once_in(3)}
    made = tuple(Maker(Choices(each), clock, said, entity, tuple(segments)).definition() for each in asked)
    return Case(clock, world, made, segments, kept)


def _world(choices: Choices, ground: bytes, events: Sequence[bytes], clock: Clock, said: Words) -> World:
    """Every other one is without sets that change hands."""
    changes = (0,) if choices.once_in(2) else (0, 0, 0, 1, 0, 2)
    numbered, families = list(enumerate(events)), len(ground) // GROUND_BYTES
    world = World(clock.now, (), {}, {}, ())
    for family in range(families):
        choices = choices if not family else Choices(ground[family * GROUND_BYTES :])
        persons, sets = _persons(choices, family), tuple(SetId(abs(each - 10 * family)) for each in SETS)
        owned = {each: _owners(choices, clock, persons, changes) for each in sets}
        before = {each: _owners(choices, clock, persons, changes) for each in sets if choices.once_in(2)}
        leads = tuple(_lead(choices, clock, f"ld_{number + 10 * family}", sets) for number in range(choices.below(4)))
        rows = _rows(numbered[family::families], clock, said, sets)
        world = World(
            clock.now,
            world.rows + rows,
            {**world.owned, **owned},
            {**world.before, **before},
            world.leads + leads,
        )
    return world


def _persons(choices: Choices, family: int) -> list[PersonId]:
    """Their ids vary, as samples are taken by them."""
    first = choices.below(64) + 100 * family
    return [PersonId(str(uuid5(NAMESPACE_URL, f"person {first + number}"))) for number in range(3)]


def _owners(
    choices: Choices, clock: Clock, persons: Sequence[PersonId], changes: Sequence[int]
) -> list[tuple[Millis | None, PersonId | None]]:
    over: list[tuple[Millis | None, PersonId | None]] = [
        (None, choices.of((*persons[:1] * 3, *persons[:2], *persons, None)))
    ]
    for start in sorted({clock.moment(choices) for _ in range(choices.of(changes))}):
        person = choices.of((*persons, None))
        if person != over[-1][1]:
            over.append((start, person))
    return over


def _rows(
    events: Sequence[tuple[int, bytes]], clock: Clock, said: Words, sets: Sequence[SetId]
) -> tuple[StoredEvent, ...]:
    rows: list[StoredEvent] = []
    at = clock.now
    for number, each in events:
        choices = Choices(each)
        owner, near = choices.of((*sets[:1] * 4, *sets)), choices.below(4)
        if near and choices.once_in(2):
            at += choices.of((0, 0, 1, clock.duration(choices), -clock.duration(choices))) + choices.of((0, 0, 1, -1))
        else:
            at = clock.moment(choices)
        # Ids do not lie in the order of time.
        rows.append(StoredEvent(_event(choices, clock, said, f"{number * 7 % 32:02d}{number:x}", at), owner))
    return tuple(rows)


def _event(choices: Choices, clock: Clock, said: Words, id_: str, at: Millis) -> Event:
    name = choices.of(said.names)
    campaign, path = choices.of(CAMPAIGNS), choices.of(PATHS)
    return Event(
        id=EventId(id_),
        client_id=id_,
        type=choices.of((EventType.TRACK, EventType.PAGE)),
        name=name,
        original_name=name,
        occurred_at=at,
        received_at=clock.now,
        source=choices.of(SOURCES),
        dialect="segment",
        hit="0-0",
        platform=choices.of(PLATFORMS),
        app=App(id=path, version=campaign),
        page=Page(url=campaign, path=path),
        campaign=Campaign(source=campaign, name=path),
        device=Device(kind=campaign),
        properties=as_json(_properties(choices, clock, said)).encode(),
        traits=tuple(_trait(choices, clock, said) for _ in range(choices.of((0, 1, 2, 3)))),
    )


def _properties(choices: Choices, clock: Clock, said: Words) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in choices.some(said.properties, least=0, most=4):
        value = clock.written(choices) if name == WHEN else choices.of((*said.values, None))
        *outer, last = choices.of(WAYS.get(name, ((name,),)))
        holder = made
        for each in outer:
            holder = holder.setdefault(each, {})
        holder[last] = value
    return made


def _trait(choices: Choices, clock: Clock, said: Words) -> TraitChange:
    operation, name = Operation(choices.of(OPERATIONS)), choices.of((*said.traits[:1], *said.traits))
    if operation is Operation.DELETE:
        return TraitChange(operation, "")
    values = NUMBERS if operation is Operation.INCREMENT else (*said.values, None)
    value = clock.written(choices) if name == DELIVERED else choices.of(values)
    return TraitChange(operation, name, as_json(value))


def _lead(choices: Choices, clock: Clock, id_: str, sets: Sequence[SetId]) -> Mapping[str, Any]:
    return {
        "id": id_,
        "subject": choices.of(sets),
        "source": choices.of(SOURCES),
        "channel": choices.of(CHANNELS),
        "stage": choices.of(STAGES),
        "owner": choices.of(OWNERS),
        "created_at": clock.moment(choices),
        "campaign": choices.of(({}, {"name": "春季's", "cost": 2.5}, {"name": "", "cost": 1}, {"cost": "1"})),
        "interest": choices.of(({}, {"model": "A"}, {"model": "北京"})),
        "contact": choices.of(({}, {"phone": "token"})),
    }
