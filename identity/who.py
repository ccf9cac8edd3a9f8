"""Who is who, for those who ask: reading from any thread, never waiting for the writer.

`identity.engine` is the one who writes; it tells this part which commit is the last, so that what is remembered of
sets is never older than that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import NamedTuple

from cdp.model import ALWAYS, Identifier, Millis, PersonId, SetId, Window
from identity.attribution import goes_round, stretches
from identity.changes import Change
from identity.graph import Graph, SetMember, StoredTurn, Value, Whole
from identity.kinds import Policy
from identity.observation import Link, Node, pid
from identity.person import Person
from identity.recent import Recent
from identity.resolve import Refusal, State

PERSONS_KEPT = 200_000
"""Sets whose person is remembered."""


class Known(NamedTuple):
    """An identifier of a person. `first_seen` and `last_seen` are of observations (days, for streams), None where it
    never came with another; `state` and `reason` tell what it may do, `owner` whose epoch it is ('' the first)."""

    identifier: Identifier
    first_seen: Millis | None
    last_seen: Millis | None
    state: State
    reason: str
    owner: str = ""


class WhoIsWho:
    """Raises StoreUnavailable where the graph cannot be reached."""

    def __init__(self, graph: Graph, policy: Policy) -> None:
        self._graph, self._policy = graph, policy
        self._head = graph.head()
        self._persons: Recent[SetId, PersonId] = Recent(PERSONS_KEPT)
        self._persons_lock = Lock()

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def graph(self) -> Graph:
        """The store, for reading."""
        return self._graph

    @property
    def version(self) -> int:
        """The sequence number of the last commit; 0 for an empty graph."""
        return self._head.seq

    def follow(self) -> None:
        """Take notice of what was committed by other processes. Who writes alone knows it already."""

    # Whose events are

    def person_of_set(self, each: SetId, at: Millis | None = None) -> PersonId | None:
        """Whose the events of this set are that occurred at that time (by default now): see `attribution`, sessions
        aside. None where nobody's, or where it was never registered."""
        if at is None:
            return self.persons_of_sets([each]).get(each)
        found = self.persons_over_time([each]).get(each, [])
        return next((person for (start, _), person in reversed(found) if start is None or start <= at), None)

    def persons_of_sets(self, sets: Collection[SetId]) -> dict[SetId, PersonId | None]:
        """`person_of_set` of now for many with one look into the store; unregistered sets are left out."""
        self.follow()
        found: dict[SetId, PersonId | None] = {each: person for each in sets if (person := self._persons.get(each))}
        missing = [each for each in sets if each not in found]
        if not missing:
            return found
        seq = self._head.seq
        read = {each: (over[-1][1] if over else None) for each, over in self.persons_over_time(missing).items()}
        with self._persons_lock:
            # What was read before a commit may be wrong after it, and must not be remembered.
            if seq == self._head.seq:
                for each, person in read.items():
                    if person is not None:
                        self._persons.put(each, person)
        return found | read

    def persons_over_time(self, sets: Collection[SetId]) -> dict[SetId, list[tuple[Window, PersonId | None]]]:
        """Whose the events of these sets are, by event time, oldest first; [] for nobody's."""
        return self.over_time_of(self._graph.members(sets))

    def over_time_of(
        self, found: Mapping[SetId, Sequence[SetMember]]
    ) -> dict[SetId, list[tuple[Window, PersonId | None]]]:
        """`persons_over_time` of sets whose members were read just now."""
        over = {each: stretches(members, self._policy) for each, members in found.items()}
        persons: dict[Node, PersonId | None] = {
            Node(member.identifier): member.person for members in found.values() for member in members
        }
        persons |= self._persons_of({node for parts in over.values() for _, node in parts if node.owner})
        return {each: [(window, persons.get(node)) for window, node in parts] for each, parts in over.items()}

    def _persons_of(self, nodes: Collection[Node]) -> dict[Node, PersonId]:
        return {value.node: person for value, person in self._values_of([pid(*node) for node in nodes])}

    def _values_of(self, ids: Collection[PersonId]) -> list[tuple[Value, PersonId]]:
        """Those of these ids that are somebody's, each with whose."""
        if not ids:
            return []
        values = self._graph.values(ids)
        names = self._graph.pids({value.person for value in values if value.person is not None})
        return [(value, names[value.person]) for value in values if value.person is not None]

    def members_of_sets(self, sets: Collection[SetId]) -> dict[SetId, list[SetMember]]:
        """What the identifiers of these sets are, sorted; unregistered sets are left out."""
        return self._graph.members(sets)

    # Who is who

    def person_of(self, identifier: Identifier) -> PersonId | None:
        """Whose this identifier is now; None where it is unknown, blocked or evidence only."""
        found = self._graph.value(pid(identifier))
        if found is None:
            return None
        return self.current(pid(identifier, found[0].epochs[-1].owner)) if found[0].epochs else found[1]

    def current(self, person: PersonId) -> PersonId | None:
        """The person that an id, ever given out, means now: another where it was merged; None for an unknown id."""
        found = self._graph.value(person)
        return found[1] if found else None

    def currents(self, persons: Collection[PersonId]) -> dict[PersonId, PersonId]:
        """`current` for many, with two looks into the graph for all that name one still; unknown ids are left out."""
        found = {value.pid: person for value, person in self._values_of(persons)}
        others = {each: self.current(each) for each in persons if each not in found}
        return found | {each: person for each, person in others.items() if person is not None}

    def whole(self, person: PersonId) -> Person | None:
        """Everything that the graph has of the person that an id means now, in one fast look."""
        found = self._graph.whole(person)
        return self._person(found) if found else None

    def whole_of(self, identifier: Identifier) -> Person | None:
        """`whole` of the person whose this identifier is now."""
        found = self._graph.whole(pid(identifier))
        if found is None:
            return None
        epochs = next((each.epochs for each in found.values if each.node == Node(identifier)), ())
        return self.whole(pid(identifier, epochs[-1].owner)) if epochs else self._person(found)

    def _person(self, found: Whole) -> Person:
        nodes = {each.node for each in found.values}
        mine: dict[SetId, tuple[Identifier, ...]] = {}
        limited: dict[SetId, list[Window]] = {}
        shared: dict[SetId, list[SetMember]] = {}
        for each, members in found.sets.items():
            when = [window for window, node in stretches(members, self._policy) if node in nodes]
            if when:
                mine[each] = tuple(member.identifier for member in members)
                if any(goes_round(member, self._policy) for member in members):
                    shared[each] = members
            if when and when != [ALWAYS]:
                limited[each] = when
        return Person(found.person, found.values, mine, limited, shared)

    def standing_of(self, identifier: Identifier) -> Known | None:
        """What an identifier may do and since when it is known; None where it never came."""
        found = self._graph.value(pid(identifier))
        return _known(found[0]) if found else None

    def identifiers_of(self, person: PersonId) -> list[Known]:
        """The identifiers of a person, oldest-born first; [] for an unknown id. Any id the person ever had will do."""
        return [_known(each) for each in self._members(person)]

    def sets_of(self, person: PersonId) -> list[SetId]:
        """All sets whose events are its at some time, in no order; some may have come with no event."""
        found = self.whole(person)
        return list(found.sets) if found else []

    def links_of(self, person: PersonId) -> list[Link]:
        """What joins the nodes of a person, strongest first, newest first among equals."""
        number = self._number(person)
        links = [] if number is None else [Link(*each) for each in self._graph.links(number)]
        return sorted(links, key=lambda link: (-link.proof.strength, -link.proof.at, link.a, link.b))

    def refusals_of(self, person: PersonId) -> list[Refusal]:
        """The links that were not taken between this person and others, because a limit would break."""
        return sorted(self._graph.refusals([each.number for each in self._members(person)]))

    def history(self, person: PersonId) -> list[Change]:
        """Merges, splits and moves that made this person what it is, oldest first, those of merged persons included."""
        return self._told(self._graph.history([each.number for each in self._members(person)]))

    def changes_since(self, seq: int, limit: int = 1_000) -> list[Change]:
        """What happened to persons after version `seq`, oldest first; whole versions, of about `limit` changes."""
        return self._told(self._graph.turns_since(seq, limit))

    def members_as_of(self, seq: int) -> dict[PersonId, set[Node]]:
        """Who was who when the version was `seq`. Reads the whole graph."""
        return self._graph.members_as_of(seq)

    def person_as_of(self, person: PersonId, at: Millis) -> tuple[PersonId, set[Node]] | None:
        """Who we thought, at that moment of our own clock, the owner of this id was: its id then, and its nodes."""
        return self._graph.person_as_of(person, self._graph.seq_at(at))

    def sets_moved_since(self, seq: int) -> set[SetId]:
        """Sets that may be another person's since version `seq`: for who was away when `absorb` said so."""
        return self._graph.moved_since(seq)

    def _told(self, turns: Sequence[tuple[int, Millis, StoredTurn]]) -> list[Change]:
        numbers = {name for _, _, each in turns for name in (each.turn.person, *each.turn.others)}
        names = self._graph.pids(numbers)
        return [change_of(each, names, seq, at) for seq, at, each in turns]

    def _members(self, person: PersonId) -> list[Value]:
        number = self._number(person)
        return [] if number is None else self._graph.identifiers(number)

    def _number(self, person: PersonId) -> int | None:
        current = self.current(person)
        found = self._graph.value(current) if current else None
        return found[0].person if found else None


def _known(value: Value) -> Known:
    return Known(value.identifier, value.first_seen, value.last_seen, value.state, value.reason, value.owner)


def change_of(each: StoredTurn, names: Mapping[int, PersonId], seq: int, at: Millis) -> Change:
    others = tuple(names[other] for other in each.turn.others)
    return Change(each.turn.kind, names[each.turn.person], others, each.cause, seq, at)
