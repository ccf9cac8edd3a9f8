"""The person of a lead as it is known without similarity: what may be held against a likeness.

Were persons that similarity had joined asked instead, the first join would decide what the next may be, and the order
in which leads come would change who is who.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cdp.model import Millis
from identity.graph import Graph, SetMember, Value
from identity.kinds import Policy
from identity.observation import Node, Proof, pid
from identity.resolve import Standing, State


class Core(NamedTuple):
    """Nodes that are one person's by what was said of them; `values` has the stored value of each."""

    nodes: frozenset[Node]
    values: tuple[Value, ...]


def core_of(graph: Graph, members: Sequence[SetMember], at: Millis, *, fuzzy: str) -> Core:
    """What hangs with the identifiers of a lead at that time, by links that not only sources `fuzzy…` speak for."""
    own = [_node(each, at) for each in members if each.state is State.LINK]
    start = graph.values([pid(*node) for node in own])
    persons = {each.person for each in start if each.person is not None}
    whole = {each.node: each for each in start}
    near: defaultdict[Node, set[Node]] = defaultdict(set)
    for person in persons:
        whole.update((each.node, each) for each in graph.identifiers(person))
        for a, b, proof in graph.links(person):
            if not _is_fuzzy(graph, a, b, proof, fuzzy):
                near[a].add(b)
                near[b].add(a)
    reached: set[Node] = set()
    waiting = list(own)
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting.extend(near[node])
    return Core(frozenset(reached), tuple(value for node, value in sorted(whole.items()) if node in reached))


def _node(member: SetMember, at: Millis) -> Node:
    return Node(member.identifier, Standing(member.state, "", member.epochs).owner_at(at))


def _is_fuzzy(graph: Graph, a: Node, b: Node, proof: Proof, fuzzy: str) -> bool:
    if proof.strength > 1:
        return False
    [(best, _)] = graph.observations([proof.observation])
    if not best.source.startswith(fuzzy):
        return False
    # Something else may have said the same, earlier.
    [one] = graph.values([pid(a.identifier)])
    said = [each for each in graph.mentioning([one.number]) if b.identifier in each.identifiers]
    return all(each.different or each.source.startswith(fuzzy) for each in said)


def apart(graph: Graph, one: Core, other: Core) -> bool:
    """Whether somebody called them different."""
    mine, theirs = ({each.number for each in side.values} for side in (one, other))
    found = graph.pairs_at(mine)
    return any(proof.apart and not theirs.isdisjoint(key) for key, proof in found.items())


def differing(one: Core, other: Core, policy: Policy) -> list[str]:
    """Kinds of which a person has one (on one platform, where that is the rule) and these two have different ones."""
    mine, theirs = _singles(one, policy), _singles(other, policy)
    return sorted({kind for kind, part in mine.keys() & theirs.keys() if mine[kind, part] != theirs[kind, part]})


def _singles(core: Core, policy: Policy) -> dict[tuple[str, str], set[str]]:
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for each in {node.identifier for node in core.nodes}:
        if policy.kind(each.kind).max_per_person == 1:
            found[policy.group(each.kind, each.value)].add(each.value)
    return found
