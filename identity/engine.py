"""The identity engine: takes evidence in, keeps the stored conclusions true, and answers who is who.

One engine writes a graph. Taking in is under one lock and one transaction; what is known already costs a look into a
dict and writes nothing, so the same batch may be taken in again, by the same process or the next, with the same
persons as the result. Reading is safe from any thread and never waits for the writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import Lock, RLock
from typing import NamedTuple

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import Change, Changes
from identity.graph import Graph, StoredTurn, Value, Whole
from identity.kinds import Policy
from identity.observation import Link, Observation, ObservationId, pid, set_id
from identity.recent import Recent
from identity.resolve import Refusal, State
from identity.settle import Memory, SetMembers, Settled, settle

KNOWN_KEPT = 400_000
"""Observations and sets that are remembered to be stored; each costs about 100 bytes."""
PERSONS_KEPT = 200_000


class Known(NamedTuple):
    """An identifier of a person. `first_seen` and `last_seen` are of observations (days, for streams), None where it
    never came with another; `state` and `reason` tell what it may do."""

    identifier: Identifier
    first_seen: Millis | None
    last_seen: Millis | None
    state: State
    reason: str


class IdentityEngine:
    """`now` gives our own time for the history. Raises StoreUnavailable where the graph cannot be reached."""

    def __init__(
        self, graph: Graph, policy: Policy, *, now: Callable[[], Millis] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._graph, self._policy, self._now = graph, policy, now
        self._lock = RLock()
        self._head = graph.head()
        self._sure = True
        self._memory = Memory()
        self._stored: Recent[ObservationId, bool] = Recent(KNOWN_KEPT)
        self._registered: Recent[SetId, bool] = Recent(KNOWN_KEPT)
        self._persons: Recent[SetId, PersonId] = Recent(PERSONS_KEPT)
        self._persons_lock = Lock()

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def version(self) -> int:
        """The sequence number of the last commit; 0 for an empty graph."""
        return self._head.seq

    # Taking in

    def absorb(
        self, sets: SetMembers, observations: Sequence[Observation], *, blocked: Mapping[Identifier, str] | None = None
    ) -> Changes:
        """Take in the sets and observations of a batch in one transaction, or in none where nothing is new.

        Durable on return. `blocked` are those of their identifiers that must never link, with the reason; for values
        that became tokens this is where it is learnt. It counts when the value is first met. Idempotent: what was
        taken in before changes nothing, so a repeat of a whole batch returns no changes.
        """
        with self._lock:
            if not self._sure:
                self._start_over()
            new_observations = self._new_observations(observations)
            new_sets = self._new_sets(sets, new_observations)
            if not new_observations and not new_sets:
                return Changes(self._head.seq)
            settled = settle(
                self._graph,
                self._policy,
                self._memory,
                head=self._head,
                at=self._now(),
                sets=new_sets,
                observations=new_observations,
                blocked=blocked or {},
            )
            # A commit that raises may have been written all the same; then nothing remembered can be relied on.
            self._sure = False
            self._graph.commit(settled.commit)
            self._sure = True
            self._remember(settled)
            return self._changes(settled)

    def observe(self, observations: Sequence[Observation]) -> Changes:
        """`absorb` for evidence alone."""
        return self.absorb({}, observations)

    def register_sets(self, sets: SetMembers) -> Changes:
        """`absorb` for sets alone: each identifier becomes a known value, also where it never links."""
        return self.absorb(sets, ())

    def _new_observations(self, observations: Sequence[Observation]) -> list[Observation]:
        unknown = {each.id: each for each in observations if each.id not in self._stored}
        for known in self._graph.known(list(unknown)):
            self._stored.put(known, True)
            del unknown[known]
        return list(unknown.values())

    def _new_sets(self, sets: SetMembers, observations: Iterable[Observation]) -> dict[SetId, tuple[Identifier, ...]]:
        unknown = {each: members for each, members in sets.items() if each not in self._registered}
        for each in observations:
            its_set = set_id(each.identifiers)
            if its_set not in self._registered:
                unknown.setdefault(its_set, each.identifiers)
        for known in self._graph.persons(list(unknown)):
            self._registered.put(known, True)
            del unknown[known]
        return unknown

    def _remember(self, settled: Settled) -> None:
        commit = settled.commit
        self._memory.keep(settled)
        for observation in commit.observations:
            self._stored.put(observation.id, True)
        for each in commit.new_sets:
            self._registered.put(each.id, True)
        with self._persons_lock:
            self._head = self._head._replace(seq=commit.seq, births=self._head.births + len(commit.born))
            self._persons.drop(settled.sets)

    def _start_over(self) -> None:
        """Forget what was remembered of conclusions, and find out where the graph stands."""
        head = self._graph.head()
        self._memory = Memory()
        with self._persons_lock:
            self._head = head
            self._persons.clear()
        self._sure = True

    def _changes(self, settled: Settled) -> Changes:
        names = {value.number: value.pid for value in settled.values}
        commit = settled.commit
        return Changes(
            commit.seq,
            tuple(_change(turn, names, commit.seq, commit.at) for turn in settled.turns),
            settled.sets,
            {each.id: each.refused for each in commit.observations if each.refused},
        )

    # Who is who

    def person_of_set(self, each: SetId) -> PersonId | None:
        """Whose the events of this set are now: the person of its strongest linking identifier, else of its strongest
        hub; None where it has neither, or was never registered."""
        return self._persons.get(each) or self.persons_of_sets([each]).get(each)

    def persons_of_sets(self, sets: Collection[SetId]) -> dict[SetId, PersonId | None]:
        """`person_of_set` for many with one look into the store; unregistered sets are left out."""
        found: dict[SetId, PersonId | None] = {each: person for each in sets if (person := self._persons.get(each))}
        missing = [each for each in sets if each not in found]
        if not missing:
            return found
        seq = self._head.seq
        read = self._graph.persons(missing)
        with self._persons_lock:
            # What was read before a commit may be wrong after it, and must not be remembered.
            if seq == self._head.seq:
                for each, person in read.items():
                    if person is not None:
                        self._persons.put(each, person)
        return found | read

    def person_of(self, identifier: Identifier) -> PersonId | None:
        """Whose this identifier is; None where it is unknown, blocked or evidence only."""
        return self.current(pid(identifier))

    def current(self, person: PersonId) -> PersonId | None:
        """The person that an id, ever given out, means now: another where it was merged; None for an unknown id."""
        found = self._graph.value(person)
        return found[1] if found else None

    def whole(self, person: PersonId) -> Whole | None:
        """Everything that the graph has of the person that an id means now, in one fast look: what `current`,
        `identifiers_of`, `sets_of` and `set_members` say."""
        return self._graph.whole(person)

    def whole_of(self, identifier: Identifier) -> Whole | None:
        """`whole` of the person whose this identifier is."""
        return self._graph.whole(pid(identifier))

    def standing_of(self, identifier: Identifier) -> Known | None:
        """What an identifier may do and since when it is known; None where it never came."""
        found = self._graph.value(pid(identifier))
        return _known(found[0]) if found else None

    def identifiers_of(self, person: PersonId) -> list[Known]:
        """The identifiers of a person, oldest-born first; [] for an unknown id. Any id the person ever had will do."""
        return [_known(each) for each in self._members(person)]

    def sets_of(self, person: PersonId) -> list[SetId]:
        """All sets whose person it is now, in no order; some may have come with no event."""
        number = self._number(person)
        return [] if number is None else self._graph.sets(number)

    def set_members(self, sets: Collection[SetId]) -> dict[SetId, tuple[Identifier, ...]]:
        """The identifiers of these sets, sorted; unregistered sets are left out."""
        return self._graph.members(sets)

    def links_of(self, person: PersonId) -> list[Link]:
        """What joins the identifiers of a person, strongest first, newest first among equals."""
        number = self._number(person)
        links = [] if number is None else [Link(*each) for each in self._graph.links(number)]
        return sorted(links, key=lambda link: (-link.proof.strength, -link.proof.at, link.a, link.b))

    def refusals_of(self, person: PersonId) -> list[Refusal]:
        """The links that were not taken between this person and others, because a limit would break."""
        return sorted(self._graph.refusals([each.number for each in self._members(person)]))

    def history(self, person: PersonId) -> list[Change]:
        """Merges, splits and moves that made this person what it is, oldest first, those of merged persons included."""
        turns = self._graph.history([each.number for each in self._members(person)])
        numbers = {name for _, _, each in turns for name in (each.turn.person, *each.turn.others)}
        names = self._graph.pids(numbers)
        return [_change(each, names, seq, at) for seq, at, each in turns]

    def members_as_of(self, seq: int) -> dict[PersonId, set[Identifier]]:
        """Who was who when the version was `seq`. Reads the whole graph."""
        return self._graph.members_as_of(seq)

    def sets_moved_since(self, seq: int) -> set[SetId]:
        """Sets registered, or become another person's, after version `seq`: for who was away when `absorb` said so."""
        return self._graph.moved_since(seq)

    def _members(self, person: PersonId) -> list[Value]:
        number = self._number(person)
        return [] if number is None else self._graph.identifiers(number)

    def _number(self, person: PersonId) -> int | None:
        found = self._graph.value(person)
        return found[0].person if found else None


def _known(value: Value) -> Known:
    return Known(value.identifier, value.first_seen, value.last_seen, value.state, value.reason)


def _change(each: StoredTurn, names: Mapping[int, PersonId], seq: int, at: Millis) -> Change:
    others = tuple(names[other] for other in each.turn.others)
    return Change(each.turn.kind, names[each.turn.person], others, each.cause, seq, at)
