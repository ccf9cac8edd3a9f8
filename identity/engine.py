"""The identity engine: takes evidence in, keeps the stored conclusions true, and so knows who is who.

One engine writes a graph. Taking in is under one lock and one transaction; what is known already costs a look into a
dict and writes nothing, so the same batch may be taken in again, by the same process or the next, with the same
persons as the result. Where another writer was quicker the store refuses the commit, and the engine looks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import RLock

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import Changes
from identity.desk import Memory
from identity.erase import Erased, erasure_of, forgetting
from identity.graph import Graph
from identity.kinds import Policy
from identity.observation import Observation, ObservationId, pid, set_id
from identity.rebuild import Differences, Progress, rebuild
from identity.recent import Recent
from identity.resolve import State
from identity.settle import Incoming, SetMembers, Settled, settle
from identity.who import WhoIsWho, change_of

KNOWN_KEPT = 400_000
"""Observations and sets that are remembered to be stored; each costs about 100 bytes."""


class IdentityEngine(WhoIsWho):
    """`now` gives our own time for the history. Answers all that `WhoIsWho` does."""

    def __init__(
        self, graph: Graph, policy: Policy, *, now: Callable[[], Millis] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        super().__init__(graph, policy)
        self._now = now
        self._lock = RLock()
        self._sure = True
        self._memory = Memory()
        self._stored: Recent[ObservationId, bool] = Recent(KNOWN_KEPT)
        self._registered: Recent[SetId, bool] = Recent(KNOWN_KEPT)

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
            seq = self._graph.head().seq + 1
            self._graph.commit(forgetting(self._graph, erasing, seq, self._now(), note))
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
            tuple(change_of(turn, names, commit.seq, commit.at) for turn in settled.turns),
            settled.sets,
            {each.id: each.refused for each in commit.observations if each.refused},
        )
