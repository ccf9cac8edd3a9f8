"""Why two identifiers are one person, or are not: the evidence between them, and every reason that keeps them apart."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cdp.model import Identifier, PersonId
from identity.graph import Graph, PairKey, Value
from identity.observation import Link, Node, Observation, Proof, pid
from identity.resolve import DIFFERENT, State
from identity.verbs import Identity

EVIDENCE_SHOWN = 20
"""Newest observations told for each step."""

UNKNOWN, CHANGED_HANDS, NO_EVIDENCE = "unknown", "changed hands", "no evidence"
PARTED = "parted"
"""Of a link that was refused because others, on its two sides, were called different."""


class Step(NamedTuple):
    """A link of the path; `observations` are the newest that mention both ends and count."""

    a: Node
    b: Node
    proof: Proof
    observations: list[Observation]


class Obstacle(NamedTuple):
    """What keeps two nodes apart. `rule` is one of the words below, a state, or the limit that a link would break;
    `about` is the value that it speaks of, where that is neither of the two or one of them alone."""

    a: Node
    b: Node
    rule: str
    about: Value | None = None


@dataclass(slots=True)
class Explanation:
    """`persons` are those that the two belong to now, None for nobody's."""

    same: bool
    persons: tuple[PersonId | None, PersonId | None]
    path: list[Step] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)


def explain(engine: Identity, a: Identifier, b: Identifier) -> Explanation:
    """Explains the present; where one of them changed hands, its epoch that the other's person has, else its last."""
    graph = engine.graph
    ones, others = _living(graph, a), _living(graph, b)
    joined = [(one, other) for one in ones for other in others if one.person is not None is not other.person]
    together = [(one, other) for one, other in joined if one.person == other.person]
    if together:
        one, other = together[-1]
        assert one.person is not None  # noqa: S101  (chosen so above; narrows the type)
        person = engine.current(one.pid)
        path = best_path([Link(*each) for each in graph.links(one.person)], one.node, other.node)
        return Explanation(True, (person, person), [_step(graph, link) for link in path])
    persons = (engine.person_of(a), engine.person_of(b))
    return Explanation(False, persons, [], _obstacles(engine, a, b, ones, others))


def best_path(links: Iterable[Link], start: Node, end: Node) -> list[Link]:
    """The way whose weakest link is strongest, and of those the shortest, from `start`; [] where there is none."""
    at: defaultdict[Node, list[Link]] = defaultdict(list)
    for link in links:
        at[link.a].append(link)
        at[link.b].append(link)
    waiting: list[tuple[int, int, Node, list[Link]]] = [(-9, 0, start, [])]
    reached: set[Node] = set()
    while waiting:
        weakest, length, here, path = heapq.heappop(waiting)
        if here == end:
            return path
        if here in reached:
            continue
        reached.add(here)
        for link in at[here]:
            there = link.b if link.a == here else link.a
            if there not in reached:
                heapq.heappush(waiting, (max(weakest, -link.proof.strength), length + 1, there, [*path, link]))
    return []


def _living(graph: Graph, identifier: Identifier) -> list[Value]:
    """The nodes of an identifier, oldest epoch first; [] where it never came."""
    found = graph.values([pid(identifier)])
    if not found:
        return []
    later = {each.owner: each for each in graph.values([pid(identifier, epoch.owner) for epoch in found[0].epochs])}
    return [*found, *(later[epoch.owner] for epoch in found[0].epochs)]


def _step(graph: Graph, link: Link) -> Step:
    [one] = graph.values([pid(link.a.identifier)])
    met = [each for each in graph.mentioning([one.number]) if link.b.identifier in each.identifiers]
    met = [each for each in met if not each.different]
    newest = sorted(met, key=lambda each: (-each.strength, -each.occurred_at, each.id))[:EVIDENCE_SHOWN]
    return Step(link.a, link.b, link.proof, newest)


def _obstacles(
    engine: Identity, a: Identifier, b: Identifier, ones: Sequence[Value], others: Sequence[Value]
) -> list[Obstacle]:
    nodes = Node(a), Node(b)
    unknown = [each for each, values in ((a, ones), (b, others)) if not values]
    if unknown:
        return [Obstacle(Node(each), Node(b if each == a else a), UNKNOWN) for each in unknown]
    found = [Obstacle(*nodes, each[0].state.value, each[0]) for each in (ones, others) if _silent(each)]
    found += [Obstacle(*nodes, CHANGED_HANDS, each[0]) for each in (ones, others) if len(each) > 1]
    graph = engine.graph
    mine, theirs = _person(graph, ones), _person(graph, others)
    found += _in_common(graph, mine, theirs)
    found += _refused(graph, mine, theirs)
    return found or [Obstacle(*nodes, NO_EVIDENCE)]


def _silent(values: Sequence[Value]) -> bool:
    return values[0].state is not State.LINK


def _person(graph: Graph, values: Sequence[Value]) -> dict[int, Value]:
    """All nodes of the persons that these belong to, by number."""
    persons = {each.person for each in values if each.person is not None}
    whole = [each for person in persons for each in graph.identifiers(person)]
    return {each.number: each for each in (*values, *whole)}


def _refused(graph: Graph, mine: dict[int, Value], theirs: dict[int, Value]) -> list[Obstacle]:
    """Refusals between the two persons, or where both only border on others, all that end at either."""
    nodes, others = ({each.node for each in side.values()} for side in (mine, theirs))
    refusals = set(graph.refusals(list(mine))) | set(graph.refusals(list(theirs)))
    between = {each for each in refusals if (each.a in nodes) != (each.b in nodes) and {each.a, each.b} & others}
    if not between and _one_component(mine, theirs):
        between = refusals
    return [Obstacle(a, b, PARTED if rule == DIFFERENT else rule) for a, b, rule in sorted(between)]


def _one_component(mine: dict[int, Value], theirs: dict[int, Value]) -> bool:
    found = [{each.component for each in side.values()} - {None} for side in (mine, theirs)]
    return not found[0].isdisjoint(found[1])


def _in_common(graph: Graph, mine: dict[int, Value], theirs: dict[int, Value]) -> list[Obstacle]:
    """What both were seen with and what joins nobody, and pairs that were called different."""
    ours, others = graph.pairs_at(list(mine)), graph.pairs_at(list(theirs))
    apart = [key for key, proof in ours.items() if proof.parts and key in others]
    met = _ends(ours, mine) & _ends(others, theirs)
    names = graph.pids([*met, *(number for key in apart for number in key)])
    values = {each.number: each for each in graph.values(list(names.values()))}
    told = [(values[a].node, values[b].node) for a, b in apart]
    return [
        *(Obstacle(a, b, DIFFERENT) for a, b in told),
        *(
            Obstacle(_near(ours, mine, number), _near(others, theirs, number), each.state.value, each)
            for number, each in sorted(values.items())
            if number in met and each.state in (State.HUB, State.SHARED)
        ),
    ]


def _ends(pairs: dict[PairKey, Proof], side: dict[int, Value]) -> set[int]:
    return {number for key, proof in pairs.items() if proof.links for number in key if number not in side}


def _near(pairs: dict[PairKey, Proof], side: dict[int, Value], number: int) -> Node:
    """The node of this side that was seen with that value best."""
    best = max((proof, key) for key, proof in pairs.items() if number in key)[1]
    return side[best[0] if best[1] == number else best[1]].node
