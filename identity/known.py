"""What this process knows to be stored already, so that what comes again costs a look into a dict.

Most of what a stream says was said before. What is stored stays so, but for sets whose members were forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdp.model import Identifier, SetId
from identity.graph import Graph
from identity.observation import Observation, ObservationId, set_id
from identity.recent import Recent
from identity.settle import SetMembers

KNOWN_KEPT = 400_000
"""Observations and sets that are remembered to be stored; each costs about 100 bytes."""


class KnownEvidence:
    """Asks the store about whatever it does not remember, in one look for all."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._observations: Recent[ObservationId, bool] = Recent(KNOWN_KEPT)
        self._sets: Recent[SetId, bool] = Recent(KNOWN_KEPT)

    def new_observations(self, observations: Sequence[Observation]) -> list[Observation]:
        """Those that are not stored."""
        unknown = {each.id: each for each in observations if each.id not in self._observations}
        for known in self._graph.known(list(unknown)):
            self._observations.put(known, True)
            del unknown[known]
        return list(unknown.values())

    def new_sets(
        self, sets: SetMembers, observations: Iterable[Observation]
    ) -> tuple[dict[SetId, tuple[Identifier, ...]], list[SetId]]:
        """The sets that the store does not know as they are, and which of them it knew before a member was erased."""
        unknown = {each: members for each, members in sets.items() if each not in self._sets}
        for each in observations:
            its_set = set_id(each.identifiers)
            if its_set not in self._sets:
                unknown.setdefault(its_set, each.identifiers)
        renewed = []
        for known, members in self._graph.members(list(unknown)).items():
            if {each.identifier for each in members} == set(unknown[known]):
                self._sets.put(known, True)
                del unknown[known]
            else:
                renewed.append(known)
        return unknown, renewed

    def remember(self, observations: Iterable[ObservationId], sets: Iterable[SetId]) -> None:
        """That these are stored now."""
        for each in observations:
            self._observations.put(each, True)
        for its_set in sets:
            self._sets.put(its_set, True)

    def forget_sets(self) -> None:
        """To be called where members of sets were forgotten: they are not what they were when they were registered."""
        self._sets.clear()
