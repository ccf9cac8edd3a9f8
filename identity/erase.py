"""Forget a person: which evidence speaks of them, and which of their identifiers nobody else has.

An identifier that changed hands is forgotten only where none of its epochs is another's. What was said of it in the
person's time goes either way.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

from cdp.model import Identifier, Millis, PersonId
from identity.graph import NOTHING_SEEN, Commit, Graph, Value
from identity.observation import STEWARDS, Node, Observation, ObservationId, pid
from identity.ownership import label
from identity.person import Person
from identity.resolve import Standing, State

ERASED = "erased"


class Erased(NamedTuple):
    """What was erased: `person` with its sets, the identifiers that are forgotten, and the observations taken back.

    `owned` names the later epochs of other values that were the person's.
    """

    person: Person
    identifiers: list[Identifier]
    observations: list[ObservationId]
    owned: list[PersonId]


def erasure_of(graph: Graph, person: Person) -> Erased:
    """What erasing this person takes. Reads only."""
    mine = {each.node for each in person.values}
    bases = graph.values([pid(identifier) for identifier in {node.identifier for node in mine}])
    epochs = {each.identifier: each.standing for each in bases}
    said = [each for each in graph.mentioning([each.number for each in bases]) if _speaks_of(each, mine, epochs)]
    alone = [each for each in bases if mine.issuperset(each.standing.nodes(each.identifier))]
    names = {label(each.identifier) for each in alone}
    others = {value for each in said for value in each.identifiers}
    owned = [pid(value, name) for value in sorted(others) for name in sorted(names)]
    return Erased(person, sorted(each.identifier for each in alone), [each.id for each in said], owned)


def _speaks_of(observation: Observation, mine: set[Node], epochs: dict[Identifier, Standing]) -> bool:
    at = observation.occurred_at
    return any(Node(value, epochs[value].owner_at(at)) in mine for value in observation.identifiers if value in epochs)


def forgetting(graph: Graph, erased: Erased, seq: int, at: Millis, note: str) -> Commit:
    """The commit that overwrites the identifiers, and what stewards wrote of them with `note`, once the evidence is
    taken back."""
    nodes = [pid(*each.node) for each in erased.person.values if each.identifier in set(erased.identifiers)]
    gone = list(map(_forgotten, _each_once(graph.values([*nodes, *map(pid, erased.identifiers), *erased.owned]))))
    mine = set(erased.identifiers)
    unsaid = {each.id: note for each, _ in graph.notes(STEWARDS) if not mine.isdisjoint(each.identifiers)}
    return Commit(seq, at, moved=gone, forgotten=gone, unsaid=unsaid)


def _each_once(values: Iterable[Value]) -> list[Value]:
    return list({each.number: each for each in values}.values())


def _forgotten(value: Value) -> Value:
    gone = copy(value)
    name = f"{ERASED}-{value.number}"
    gone.identifier, gone.pid, gone.owner = Identifier(value.identifier.kind, name), PersonId(name), ""
    gone.state, gone.reason, gone.epochs, gone.ledger = State.BLOCKED, ERASED, (), NOTHING_SEEN
    gone.person = gone.component = gone.first_seen = gone.last_seen = None
    return gone
