"""How good a resolution is: over all pairs of observations, whether it says "one person" where that is the truth.

Computed from the sizes of groups, never from pairs, so that a million observations take a second. An observation
without a person is in no pair: it lowers recall and never precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import networkx

from cdp.model import Identifier
from identity.kinds import Policy
from identity.observation import Node, Observation, ObservationId, strongest
from identity.resolve import Resolution, State

Persons = Mapping[ObservationId, Hashable | None]
"""The person of each observation, under whatever name; None where nobody is named."""


class Score(NamedTuple):
    precision: float
    recall: float
    f1: float


def score(persons: Persons, truth: Persons) -> Score:
    """Pairwise, over the observations that `truth` knows. Where no pair is claimed, precision is 1."""
    named = {key: person for key in truth if (person := persons.get(key)) is not None}
    right = _pairs((person, truth[key]) for key, person in named.items())
    claimed, true = _pairs(named.values()), _pairs(truth.values())
    precision, recall = right / claimed if claimed else 1.0, right / true if true else 1.0
    return Score(precision, recall, 2 * right / (claimed + true) if claimed + true else 1.0)


def ceiling(observations: Collection[Observation], truth: Persons, policy: Policy) -> Persons:
    """The persons of an oracle that knows the truth and joins only what a usable value holds together.

    Two observations of one true person are joined when they share a value that the policy lets link and does not
    block, and by chains of such. So it never joins two people, and finds all that this evidence can say of each.
    """
    nodes: dict[ObservationId, list[Hashable]] = {
        each.id: [(truth[each.id], value) for value in each.identifiers if _usable(value, policy)]
        for each in observations
    }
    return _connected(nodes)


def connected(observations: Collection[Observation], policy: Policy) -> Persons:
    """The persons of plain connected components: whatever shares a value of a linking kind is one person."""
    return _connected({each.id: [v for v in each.identifiers if policy.links(v.kind)] for each in observations})


def attributed(observations: Iterable[Observation], resolution: Resolution, policy: Policy) -> Persons:
    """The persons of a resolution: an observation is its strongest linking value's, in the epoch of its time; nobody's
    where it has none, for a tablet is no person."""
    person = {node: number for number, nodes in enumerate(resolution.persons) for node in nodes}
    persons: dict[ObservationId, Hashable | None] = {}
    for each in observations:
        linking = [value for value in each.identifiers if resolution.standings[value].state is State.LINK]
        speaker = next(iter(strongest(linking, policy)), None)
        at = each.occurred_at
        persons[each.id] = person[Node(speaker, resolution.standings[speaker].owner_at(at))] if speaker else None
    return persons


def _usable(value: Identifier, policy: Policy) -> bool:
    return policy.links(value.kind) and not policy.blocked(value.kind, value.value)


def _connected(nodes: Mapping[ObservationId, list[Hashable]]) -> Persons:
    graph: networkx.Graph[Hashable] = networkx.Graph()
    for met in nodes.values():
        graph.add_nodes_from(met)
        graph.add_edges_from(pairwise(met))
    of = {node: number for number, group in enumerate(networkx.connected_components(graph)) for node in group}
    return {key: of[met[0]] if met else None for key, met in nodes.items()}


def _pairs(groups: Iterable[Hashable]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(groups).values())
