"""The values and pairs that one commit is about: read as they are needed, changed on copies, born where nobody knows
them. The desk knows nothing of rules but what a value is at its birth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field

from cdp.model import Identifier, PersonId
from identity.graph import Commit, Graph, Head, PairKey, Value
from identity.kinds import Policy
from identity.observation import Node, Proof, pid
from identity.recent import Recent
from identity.resolve import Standing, State, standing_of

VALUES_KEPT = 200_000
PAIRS_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Rows of the store that were used lately, as last committed; what is settled works on copies."""

    values: Recent[Node, Value] = field(default_factory=lambda: Recent(VALUES_KEPT))
    pairs: Recent[PairKey, Proof] = field(default_factory=lambda: Recent(PAIRS_KEPT))

    def keep(self, values: Iterable[Value], commit: Commit) -> None:
        """To be called once the commit is written."""
        for value in values:
            self.values.put(value.node, value)
        for key, proof in (commit.new_pairs | commit.changed_pairs).items():
            self.pairs.put(key, proof)
        self.pairs.drop(commit.dropped_pairs)


class Desk:
    """`nodes` and `by_number` hold what was met. `was` tells what each value that existed was before."""

    def __init__(self, graph: Graph, policy: Policy, memory: Memory, head: Head, commit: Commit) -> None:
        self.graph, self.policy, self.memory, self.head, self.commit = graph, policy, memory, head, commit
        self.nodes: dict[Node, Value] = {}
        self._first: dict[Identifier, Value] = {}
        self.by_number: dict[int, Value] = {}
        self.was: dict[int, tuple[int | None, Standing]] = {}
        self.touched: set[int] = set()

    def __getitem__(self, identifier: Identifier) -> Value:
        """The first node of an identifier that was met."""
        return self._first[identifier]

    @property
    def values(self) -> Collection[Value]:
        return self.by_number.values()

    def meet(self, identifiers: Iterable[Identifier], unusable: Mapping[Identifier, str]) -> None:
        """Hold all living nodes of each identifier; those that nobody knows are born."""
        bases = [each for each in dict.fromkeys(identifiers) if each not in self._first]
        self._meet(map(Node, bases), unusable)
        self._meet((node for each in bases if (value := self._first[each]).epochs for node in nodes_of(value)), {})

    def bear_epochs(self, value: Value) -> None:
        """Hold the nodes of epochs that the value has from now on."""
        self._meet(nodes_of(value), {})

    def hold_all(self, values: Iterable[Value]) -> None:
        for value in values:
            if value.number not in self.by_number:
                self._hold(value)
                self.was[value.number] = (value.person, value.standing)

    def hold_numbers(self, numbers: Iterable[int]) -> None:
        """Hold these nodes, and what else their identifiers have."""
        wanted = [each for each in numbers if each not in self.by_number]
        self.hold_all(self.graph.values(list(self.graph.pids(wanted).values())))
        self.meet({self.by_number[each].identifier for each in wanted}, {})

    def existed(self, numbers: Iterable[int]) -> set[int]:
        return {each for each in numbers if each <= self.head.births}

    def pairs(self, keys: Iterable[PairKey]) -> dict[PairKey, Proof]:
        """What is stored of these pairs."""
        known: dict[PairKey, Proof] = {}
        unknown = []
        for key in keys:
            kept = self.memory.pairs.get(key)
            if kept is not None:
                known[key] = kept
            elif key[1] <= self.head.births:  # a value born just now was never seen with anything
                unknown.append(key)
        return known | self.graph.pairs(unknown)

    def key(self, a: Node, b: Node) -> PairKey:
        one, other = self._number(a), self._number(b)
        return (one, other) if one < other else (other, one)

    def _number(self, node: Node) -> int:
        return self.nodes[node].number if node.owner else self._first[node.identifier].number

    def ends(self, key: PairKey) -> tuple[Value, Value]:
        return self.by_number[key[0]], self.by_number[key[1]]

    def _meet(self, nodes: Iterable[Node], unusable: Mapping[Identifier, str]) -> None:
        wanted = [each for each in dict.fromkeys(nodes) if each not in self.nodes]
        unknown = {}
        for each in wanted:
            kept = self.memory.values.get(each)
            if kept is None:
                unknown[each] = pid(*each)
            else:
                self.hold_all([copy(kept)])
        self.hold_all(self.graph.values(list(unknown.values())))
        for each, its_pid in unknown.items():
            if each not in self.nodes:
                self._bear(each, its_pid, unusable.get(each.identifier))

    def _bear(self, node: Node, its_pid: str, unusable: str | None) -> None:
        number = self.head.births + len(self.commit.born) + 1
        base = self.nodes[Node(node.identifier)].number if node.owner else number
        standing = Standing(State.LINK) if node.owner else standing_of(node.identifier, self.policy, unusable)
        alone = number if standing.state is State.LINK else None
        value = Value(
            number, PersonId(its_pid), node.identifier, base, node.owner, standing.state, standing.reason, alone, alone
        )
        self._hold(value)
        self.commit.born.append(value)

    def _hold(self, value: Value) -> None:
        self.nodes[value.node] = self.by_number[value.number] = value
        if not value.owner:
            self._first[value.identifier] = value


def nodes_of(value: Value) -> list[Node]:
    """The living nodes of an identifier, from its first one."""
    return value.standing.nodes(value.identifier)
