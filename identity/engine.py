"""The identity engine: takes evidence in, keeps the stored conclusions true, and answers who is who.

One engine writes a graph. Taking in is under one lock and one transaction; what is known already costs a look into a
dict and writes nothing, so the same batch may be taken in again, by the same process or the next, with the same
persons as the result. Where another writer was quicker the store refuses the commit, and the engine looks again.
Reading is safe from any thread and never waits for the writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import Lock, RLock
from typing import NamedTuple

from cdp.model import ALWAYS, Identifier, Millis, PersonId, SetId, Window
from identity.attribution import goes_round, stretches
from identity.changes import Change, Changes
from identity.desk import Memory
from identity.erase import Erased, erasure_of, forgetting
from identity.graph import Graph, SetMember, StoredTurn, Value, Whole
from identity.kinds import Policy
from identity.observation import Link, Node, Observation, ObservationId, pid, set_id
from identity.person import Person
from identity.rebuild import Differences, Progress, rebuild
from identity.recent import Recent
from identity.resolve import Refusal, State
from identity.settle import Incoming, SetMembers, Settled, settle

KNOWN_KEPT = 400_000
"""Observations and sets that are remembered to be stored; each costs about 100 bytes."""
PERSONS_KEPT = 200_000


class Known(NamedTuple):
    """An identifier of a person. `first_seen` and `last_seen` are of observations (days, for streams), None where it
    never came with another; `state` and `reason` tell what it may do, `owner` whose epoch it is ('' the first)."""

    identifier: Identifier
    first_seen: Millis | None
    last_seen: Millis | None
    state: State
    reason: str
    owner: str = ""


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
    def graph(self) -> Graph:
        """The store, for reading."""
        return self._graph

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
        that became tokens this is where it is learnt. Idempotent: what was taken in before changes nothing, so a
        repeat of a whole batch returns no changes.
        """
        with self._lock:
            self._look_again()
            new_observations = self._new_observations(observations)
            new_sets, renewed = self._new_sets(sets, new_observations)
            if not new_observations and not new_sets:
                return Changes(self._head.seq)
            return self._take(Incoming(new_sets, new_observations, blocked or {}), renewed)

    def observe(self, observations: Sequence[Observation]) -> Changes:
        """`absorb` for evidence alone."""
        return self.absorb({}, observations)

    def register_sets(self, sets: SetMembers) -> Changes:
        """`absorb` for sets alone: each identifier becomes a known value, also where it never links."""
        return self.absorb(sets, ())

    def retract(self, observations: Mapping[ObservationId, str]) -> Changes:
        """Take observations back, each with a note of who did so and why; unknown ones are passed over.

        Everything is then as if they had never come, names included, and a copy of them that comes again changes
        nothing. Idempotent.
        """
        with self._lock:
            self._look_again()
            found = self._graph.observations(list(observations))
            live = {each.id: observations[each.id] for each, gone in found if not gone}
            return self._take(Incoming(retracted=live)) if live else Changes(self._head.seq)

    def block(self, values: Mapping[Identifier, str]) -> Changes:
        """From now on these values never link, for the reason given. Idempotent."""
        with self._lock:
            self._look_again()
            standing = {each.identifier: each.state for each in self._graph.values([pid(value) for value in values])}
            fresh = {value: why for value, why in values.items() if standing.get(value) is not State.BLOCKED}
            return self._take(Incoming(blocked=fresh)) if fresh else Changes(self._head.seq)

    def rebuild(
        self,
        policy: Policy | None = None,
        *,
        check: bool = False,
        blocked: Mapping[Identifier, str] | None = None,
        progress: Progress = lambda _: None,
    ) -> Differences:
        """Derive all conclusions again from the evidence, under another policy where one is given; what differed.

        With `check` nothing is written. `blocked` are the values that are unusable beside those that the policy blocks
        as they stand, None for those blocked now. Nothing is taken in meanwhile; reading goes on.
        """
        with self._lock:
            policy = policy or self._policy
            commit, differences = rebuild(self._graph, policy, at=self._now(), blocked=blocked, progress=progress)
            if not check and (differences or self._graph.policy() != policy.name):
                self._sure = False
                self._graph.commit(commit)
            if not check:
                self._policy = policy
                self._look_again()
            return differences

    def erase(self, person: PersonId, note: str) -> Erased | None:
        """Take back all evidence that speaks of a person, and forget its identifiers; None for an unknown id.

        What is left is what would follow from the remaining evidence alone. A copy of that evidence changes nothing.
        Not undone by anything. Calling it again with an id that was erased is None.
        """
        with self._lock:
            whole = self.whole(person)
            if whole is None:
                return None
            erasing = erasure_of(self._graph, whole)
            self.forget(erasing, note)
            return erasing

    def forget(self, erasing: Erased, note: str) -> None:
        """Do what `erase` does, where it was found beforehand what that takes; also what a crash left half done."""
        with self._lock:
            alone = self._graph.values([pid(each) for each in erasing.identifiers])
            late = [each.id for each in self._graph.mentioning([each.number for each in alone])]
            self.retract(dict.fromkeys([*erasing.observations, *late], note))
            self._sure = False
            self._graph.commit(forgetting(self._graph, erasing, self._graph.head().seq + 1, self._now()))
            self._look_again()
            # Sets whose members were forgotten are not what they were when they were registered.
            self._registered.clear()

    def _take(self, incoming: Incoming, renewed: Collection[SetId] = ()) -> Changes:
        at = self._now()
        settled = settle(self._graph, self._policy, self._memory, head=self._head, at=at, incoming=incoming)
        settled.commit.renewed.update(renewed)
        # A commit that raises may have been written all the same; then nothing remembered can be relied on.
        self._sure = False
        self._graph.commit(settled.commit)
        self._sure = True
        self._remember(settled)
        return self._changes(settled)

    def _new_observations(self, observations: Sequence[Observation]) -> list[Observation]:
        unknown = {each.id: each for each in observations if each.id not in self._stored}
        for known in self._graph.known(list(unknown)):
            self._stored.put(known, True)
            del unknown[known]
        return list(unknown.values())

    def _new_sets(
        self, sets: SetMembers, observations: Iterable[Observation]
    ) -> tuple[dict[SetId, tuple[Identifier, ...]], list[SetId]]:
        """The sets that the store does not know as they are, and which of them it knew before a member was erased."""
        unknown = {each: members for each, members in sets.items() if each not in self._registered}
        for each in observations:
            its_set = set_id(each.identifiers)
            if its_set not in self._registered:
                unknown.setdefault(its_set, each.identifiers)
        renewed = []
        for known, members in self._graph.members(list(unknown)).items():
            if {each.identifier for each in members} == set(unknown[known]):
                self._registered.put(known, True)
                del unknown[known]
            else:
                renewed.append(known)
        return unknown, renewed

    def _remember(self, settled: Settled) -> None:
        commit = settled.commit
        self._memory.keep(settled.values, commit)
        for observation in commit.observations:
            self._stored.put(observation.id, True)
        for each in commit.new_sets:
            self._registered.put(each.id, True)
        with self._persons_lock:
            self._head = self._head._replace(seq=commit.seq, births=self._head.births + len(commit.born))
            self._persons.drop(settled.sets)

    def _look_again(self) -> None:
        """Where what was remembered of conclusions may be wrong, forget it and find out where the graph stands."""
        if self._sure:
            return
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

    # Whose events are

    def person_of_set(self, each: SetId, at: Millis | None = None) -> PersonId | None:
        """Whose the events of this set are that occurred at that time (by default now): see `attribution`, sessions
        aside. None where nobody's, or where it was never registered."""
        if at is None:
            return self._persons.get(each) or self.persons_of_sets([each]).get(each)
        found = self.persons_over_time([each]).get(each, [])
        return next((person for (start, _), person in reversed(found) if start is None or start <= at), None)

    def persons_of_sets(self, sets: Collection[SetId]) -> dict[SetId, PersonId | None]:
        """`person_of_set` of now for many with one look into the store; unregistered sets are left out."""
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
        found = self._graph.members(sets)
        over = {each: stretches(members, self._policy) for each, members in found.items()}
        persons: dict[Node, PersonId | None] = {
            Node(member.identifier): member.person for members in found.values() for member in members
        }
        persons |= self._persons_of({node for parts in over.values() for _, node in parts if node.owner})
        return {each: [(window, persons.get(node)) for window, node in parts] for each, parts in over.items()}

    def _persons_of(self, nodes: Collection[Node]) -> dict[Node, PersonId]:
        if not nodes:
            return {}
        values = self._graph.values([pid(*node) for node in nodes])
        names = self._graph.pids({value.person for value in values if value.person is not None})
        return {value.node: names[value.person] for value in values if value.person is not None}

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
        return [_change(each, names, seq, at) for seq, at, each in turns]

    def _members(self, person: PersonId) -> list[Value]:
        number = self._number(person)
        return [] if number is None else self._graph.identifiers(number)

    def _number(self, person: PersonId) -> int | None:
        current = self.current(person)
        found = self._graph.value(current) if current else None
        return found[0].person if found else None


def _known(value: Value) -> Known:
    return Known(value.identifier, value.first_seen, value.last_seen, value.state, value.reason, value.owner)


def _change(each: StoredTurn, names: Mapping[int, PersonId], seq: int, at: Millis) -> Change:
    others = tuple(names[other] for other in each.turn.others)
    return Change(each.turn.kind, names[each.turn.person], others, each.cause, seq, at)
