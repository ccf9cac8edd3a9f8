"""What can be done with identities, whoever does it: the engine in this process, or the one that a remote one calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from cdp.model import Identifier, PersonId
from identity.changes import Changes
from identity.erase import Erased, erasure_of
from identity.kinds import Policy
from identity.observation import Observation, ObservationId
from identity.rebuild import Differences, Progress
from identity.settle import SetMembers
from identity.who import WhoIsWho


class Identity(WhoIsWho, ABC):
    """Takes evidence in and takes it back, and answers all that `WhoIsWho` does.

    Every verb is durable on return, seen by the reads of this object from then on, and harmless when repeated. Raises
    StoreUnavailable and GraphConflict, after which the same call may be made again.
    """

    @abstractmethod
    def absorb(
        self, sets: SetMembers, observations: Sequence[Observation], *, blocked: Mapping[Identifier, str] | None = None
    ) -> Changes:
        """Take in the sets and observations of a batch in one transaction, or in none where nothing is new.

        Durable on return. `blocked` are those of their identifiers that must never link, with the reason; for values
        that became tokens this is where it is learnt. Idempotent: what was taken in before changes nothing, so a
        repeat of a whole batch returns no changes.
        """

    def observe(self, observations: Sequence[Observation]) -> Changes:
        """`absorb` for evidence alone."""
        return self.absorb({}, observations)

    def register_sets(self, sets: SetMembers) -> Changes:
        """`absorb` for sets alone: each identifier becomes a known value, also where it never links."""
        return self.absorb(sets, ())

    @abstractmethod
    def retract(self, observations: Mapping[ObservationId, str]) -> Changes:
        """Take observations back, each with a note of who did so and why; unknown ones are passed over.

        Everything is then as if they had never come, names included, and a copy of them that comes again changes
        nothing. Idempotent.
        """

    @abstractmethod
    def block(self, values: Mapping[Identifier, str]) -> Changes:
        """From now on these values never link, for the reason given. Idempotent."""

    @abstractmethod
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

    def erase(self, person: PersonId, note: str) -> Erased | None:
        """Take back all evidence that speaks of a person, and forget its identifiers; None for an unknown id.

        What is left is what would follow from the remaining evidence alone. A copy of that evidence changes nothing.
        Not undone by anything. Calling it again with an id that was erased is None.
        """
        whole = self.whole(person)
        if whole is None:
            return None
        erasing = erasure_of(self._graph, whole)
        self.forget(erasing, note)
        return erasing

    @abstractmethod
    def forget(self, erasing: Erased, note: str) -> None:
        """Do what `erase` does, where it was found beforehand what that takes; also what a crash left half done."""
