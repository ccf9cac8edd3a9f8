"""The identity engine: takes evidence in, keeps the stored conclusions true, and so knows who is who.

One engine writes a graph. Taking in is under one lock and one transaction; what is known already costs a look into a
dict and writes nothing, so the same batch may be taken in again, by the same process or the next, with the same
persons as the result. Where another writer was quicker the store refuses the commit, and the engine looks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import RLock

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import Changes
from identity.desk import Memory
from identity.erase import Erased, forgetting
from identity.graph import Graph
from identity.kinds import Policy
from identity.known import KnownEvidence
from identity.observation import Observation, ObservationId, pid
from identity.rebuild import Differences, Progress, rebuild
from identity.resolve import State
from identity.settle import Incoming, SetMembers, Settled, settle
from identity.verbs import Identity
from identity.who import change_of


class IdentityEngine(Identity):
    """`now` gives our own time for the history."""

    def __init__(
        self, graph: Graph, policy: Policy, *, now: Callable[[], Millis] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        super().__init__(graph, policy)
        self._now = now
        self._lock = RLock()
        self._sure = True
        self._memory = Memory()
        self._known = KnownEvidence(graph)

    def absorb(
        self, sets: SetMembers, observations: Sequence[Observation], *, blocked: Mapping[Identifier, str] | None = None
    ) -> Changes:
        with self._lock:
            self._look_again()
            new_observations = self._known.new_observations(observations)
            new_sets, renewed = self._known.new_sets(sets, new_observations)
            if not new_observations and not new_sets:
                return Changes(self._head.seq)
            return self._take(Incoming(new_sets, new_observations, blocked or {}), renewed)

    def retract(self, observations: Mapping[ObservationId, str]) -> Changes:
        with self._lock:
            self._look_again()
            found = self._graph.observations(list(observations))
            live = {each.id: observations[each.id] for each, gone in found if not gone}
            return self._take(Incoming(retracted=live)) if live else Changes(self._head.seq)

    def block(self, values: Mapping[Identifier, str]) -> Changes:
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
        with self._lock:
            return super().erase(person, note)

    def forget(self, erasing: Erased, note: str) -> None:
        with self._lock:
            alone = self._graph.values([pid(each) for each in erasing.identifiers])
            late = [each.id for each in self._graph.mentioning([each.number for each in alone])]
            self.retract(dict.fromkeys([*erasing.observations, *late], note))
            self._sure = False
            seq = self._graph.head().seq + 1
            self._graph.commit(forgetting(self._graph, erasing, seq, self._now(), note))
            self._look_again()

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

    def _remember(self, settled: Settled) -> None:
        commit = settled.commit
        self._memory.keep(settled.values, commit)
        self._known.remember((each.id for each in commit.observations), (each.id for each in commit.new_sets))
        with self._persons_lock:
            self._head = self._head._replace(seq=commit.seq, births=self._head.births + len(commit.born))
            self._persons.drop(settled.sets)

    def _look_again(self) -> None:
        """Where what was remembered of conclusions may be wrong, forget it and find out where the graph stands."""
        if self._sure:
            return
        head = self._graph.head()
        self._memory = Memory()
        if head.forgot != self._head.forgot:
            self._known.forget_sets()
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
