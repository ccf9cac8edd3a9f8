"""An identity whose writing another process does: reads the graph itself, and sends the leader what is new.

Others write through the same leader. So before it tells whose sets are it looks where the graph stands, and forgets
what moved since its last look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cdp.model import Identifier
from identity.calls import Absorb, Block, Forget, Rebuild, Retract
from identity.changes import Changes
from identity.erase import Erased
from identity.graph import Graph
from identity.kinds import Policy
from identity.known import KnownEvidence
from identity.leader import Leader
from identity.observation import Observation, ObservationId
from identity.policy_file import dump_policy
from identity.rebuild import Differences, Progress
from identity.settle import SetMembers
from identity.verbs import Identity

FAR = 1_000
"""Commits after which it is cheaper to forget everything than to ask what moved."""


class RemoteIdentity(Identity):
    """Safe from any thread. Raises StoreUnavailable also where nobody leads, or the leader gives no answer; what was
    asked may have been done then. `version` is that of the last look or answer."""

    def __init__(self, graph: Graph, policy: Policy, leader: Leader) -> None:
        super().__init__(graph, policy)
        self._leader = leader
        self._known = KnownEvidence(graph)
        self._answered = 0

    @property
    def version(self) -> int:
        return max(self._head.seq, self._answered)

    def follow(self) -> None:
        head, seen = self._graph.head(), self._head
        if head.seq <= seen.seq:
            return
        forgot = head.forgot > seen.forgot
        moved = None if forgot or head.seq - seen.seq > FAR else self._graph.moved_since(seen.seq)
        with self._persons_lock:
            if forgot:
                # A new one, so that an answer which is older than this leaves nothing in it.
                self._known = KnownEvidence(self._graph)
            if moved is None:
                self._persons.clear()
            else:
                self._persons.drop(moved)
            self._head = max(self._head, head)

    def absorb(
        self, sets: SetMembers, observations: Sequence[Observation], *, blocked: Mapping[Identifier, str] | None = None
    ) -> Changes:
        self.follow()
        known = self._known
        fresh = known.new_observations(observations)
        new_sets, _ = known.new_sets(sets, fresh)
        if not fresh and not new_sets:
            return Changes(self.version)
        born = {each for members in new_sets.values() for each in members}
        reasons = {each: why for each, why in (blocked or {}).items() if each in born}
        changes = self._change(Absorb(new_sets, fresh, reasons))
        known.remember((each.id for each in fresh), new_sets)
        return changes

    def retract(self, observations: Mapping[ObservationId, str]) -> Changes:
        return self._change(Retract(dict(observations)))

    def block(self, values: Mapping[Identifier, str]) -> Changes:
        return self._change(Block(dict(values)))

    def rebuild(
        self,
        policy: Policy | None = None,
        *,
        check: bool = False,
        blocked: Mapping[Identifier, str] | None = None,
        progress: Progress = lambda _: None,
    ) -> Differences:
        """How far it is is not told."""
        text = dump_policy(policy) if policy else ""
        found: Differences = self._leader.call(Rebuild(text, check, None if blocked is None else dict(blocked)))
        if policy and not check:
            self._policy = policy
        self.follow()
        return found

    def forget(self, erasing: Erased, note: str) -> None:
        self._leader.call(Forget(erasing, note))
        self.follow()

    def _change(self, call: msgspec.Struct) -> Changes:
        changes: Changes = self._leader.call(call)
        self._answered = max(self._answered, changes.seq)
        return changes
