"""Derive all conclusions again from the evidence, under the same policy or another: to check, to mend, to try.

Values keep the numbers of their birth, so what comes out has the names that people know. A change of policy is a
rebuild under the new one; asking what it would change is the same without the writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

from cdp.model import Identifier, Millis
from identity.changes import ChangeKind, turns
from identity.graph import NOTHING_SEEN, Commit, Graph, PairKey, StoredRefusal, StoredTurn, Value
from identity.kinds import Policy
from identity.observation import Node, Observation, Proof, pid
from identity.resolve import ALONE, Resolution, Standing, State, resolve, standing_of

EXAMPLES = 20

Progress = Callable[[int], None]
"""Told how many observations were read so far."""


@dataclass(slots=True)
class Differences:
    """What is stored and does not follow from the evidence, counted by what it is; a few examples name values, which
    mask themselves."""

    values: int = 0
    pairs: int = 0
    refusals: int = 0
    examples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.values or self.pairs or self.refusals)


def rebuild(
    graph: Graph,
    policy: Policy,
    *,
    at: Millis,
    blocked: Mapping[Identifier, str] | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Commit, Differences]:
    """What to commit so that the stored conclusions follow from the evidence under this policy.

    `blocked` are all values that are unusable beside those that the policy blocks as they stand; None for those that
    are blocked now. Reads the store, writes nothing. Nothing may be taken in meanwhile.
    """
    values = graph.every_value()
    if blocked is None:
        blocked = {each.identifier: each.reason for each in values if each.state is State.BLOCKED}
    found = resolve(counted(graph.every_observation(), progress), policy, blocked=blocked)
    derived = _Derived(values, found, policy, blocked)
    head = graph.head()
    commit = Commit(head.seq + 1, at, policy=policy.name)
    differences = Differences()
    _compare_values(values, derived, commit, differences)
    _compare_pairs(graph.every_pair(), derived.pairs(), commit, differences)
    _compare_refusals(graph.every_refusal(), derived.refusals(), commit, differences)
    return commit, differences


def counted(observations: Iterable[Observation], progress: Progress) -> Iterator[Observation]:
    for n, each in enumerate(observations, start=1):
        if n % 10_000 == 0:
            progress(n)
        yield each


class _Derived:
    """The values as they must be, by node. Epochs that were never met before are born, after their first nodes."""

    def __init__(
        self, stored: Sequence[Value], found: Resolution, policy: Policy, blocked: Mapping[Identifier, str]
    ) -> None:
        self.found, self.policy, self.blocked = found, policy, blocked
        self.values = {each.node: copy(each) for each in stored}
        for each in stored:
            if each.identifier in found.standings and not each.owner:
                for node in found.standings[each.identifier].nodes(each.identifier):
                    if node not in self.values:
                        self.values[node] = self.bear(node)
        for each in self.values.values():
            self.conclude(each)
        for component in found.components:
            whole = min(self.values[node].number for person in component for node in person)
            for person in component:
                name = min(self.values[node].number for node in person)
                for each in (self.values[node] for node in person):
                    each.person, each.component, each.contested = name, whole, len(component) > 1

    def bear(self, node: Node) -> Value:
        number = len(self.values) + 1
        base = self.values[Node(node.identifier)].number if node.owner else number
        return Value(number, pid(*node), node.identifier, base, node.owner)

    def conclude(self, value: Value) -> None:
        """What a node may do; whom it belongs to is its own until components say otherwise."""
        unseen = standing_of(value.identifier, self.policy, self.blocked.get(value.identifier))
        standing = self.found.standings.get(value.identifier, unseen)
        if value.owner:
            alive = Node(value.identifier, value.owner) in standing.nodes(value.identifier)
            value.state, value.reason = (State.LINK, "") if alive else (State.PAST, value.reason)
        else:
            value.state, value.reason, value.epochs = standing
            value.ledger = self.found.ledgers.get(value.identifier, NOTHING_SEEN)
            links = self.policy.links(value.identifier.kind) and value.state is not State.BLOCKED
            value.first_seen, value.last_seen = self.found.times.get(value.identifier, (None, None))
            if not links:
                value.first_seen = value.last_seen = None
        alone = value.number if value.state is State.LINK or value.state in ALONE else None
        value.person = value.component = alone
        value.contested = False

    def key(self, a: Node, b: Node) -> PairKey:
        one, other = self.values[a].number, self.values[b].number
        return (one, other) if one < other else (other, one)

    def pairs(self) -> dict[PairKey, Proof]:
        return {self.key(*pair): proof for pair, proof in self.found.proofs.items()}

    def refusals(self) -> set[StoredRefusal]:
        return {StoredRefusal(*self.key(each.a, each.b), each.rule) for each in self.found.refusals}


def _compare_values(stored: Sequence[Value], derived: _Derived, commit: Commit, differences: Differences) -> None:
    was = {each.node: each for each in stored}
    for node, value in derived.values.items():
        old = was.get(node)
        if old is None:
            commit.born.append(value)
            commit.moved.append(value)
            differences.values += 1
        elif _conclusions(old) != _conclusions(value):
            commit.changed.append(value)
            differences.values += 1
            if len(differences.examples) < EXAMPLES:
                differences.examples.append(f"{value.identifier!r}: {_told(old)} instead of {_told(value)}")
            if (old.person, old.standing) != (value.person, value.standing):
                commit.moved.append(value)
    numbers = {value.number: value for value in derived.values.values()}
    after = {
        number: person
        for number, value in numbers.items()
        if (person := numbers[value.base].person if value.state is State.PAST else value.person) is not None
    }
    before = {each.number: each.person for each in stored if each.person is not None and each.number in after}
    moved = {name for number, name in before.items() if after[number] != name}
    moved |= {after[number] for number, name in before.items() if after[number] != name}
    touched = {number for number, name in after.items() if name in moved or before.get(number) in moved}
    happened = turns({n: before[n] for n in touched if n in before}, {n: after[n] for n in touched})
    commit.turns = [StoredTurn(turn, None) for turn in happened if turn.kind is not ChangeKind.CREATED]


def _conclusions(value: Value) -> tuple[object, ...]:
    # A hub's claims are not kept up, as they say nothing of it any more; a past epoch's reason is of its time.
    claims = {} if value.state is State.HUB else value.ledger.claims
    reason = "" if value.state is State.PAST else value.reason
    standing = Standing(value.state, reason, value.epochs)
    seen = (value.first_seen, value.last_seen)
    return standing, value.person, value.component, value.contested, value.ledger.partners, claims, seen


def _told(value: Value) -> str:
    contested = ", contested" if value.contested else ""
    return f"{value.state.value} of person {value.person}{contested}"


def _compare_pairs(
    stored: Mapping[PairKey, Proof], derived: Mapping[PairKey, Proof], commit: Commit, differences: Differences
) -> None:
    commit.new_pairs = {key: proof for key, proof in derived.items() if key not in stored}
    commit.changed_pairs = {key: proof for key, proof in derived.items() if key in stored and stored[key] != proof}
    commit.dropped_pairs = set(stored.keys() - derived.keys())
    differences.pairs = len(commit.new_pairs) + len(commit.changed_pairs) + len(commit.dropped_pairs)


def _compare_refusals(
    stored: set[StoredRefusal], derived: set[StoredRefusal], commit: Commit, differences: Differences
) -> None:
    if stored != derived:
        commit.unsettled = {number for each in stored for number in each[:2]}
        commit.refusals = sorted(derived)
        differences.refusals = len(stored ^ derived)


# What if


@dataclass(frozen=True, slots=True)
class WhatIf:
    """How many persons there are and would be; how many of today's would be merged into another or split; examples are
    (what, today's persons, the persons then) by their nodes."""

    persons_now: int
    persons_then: int
    merged: int
    split: int
    examples: list[tuple[str, list[list[Node]], list[list[Node]]]]


def what_if(
    graph: Graph,
    policy: Policy,
    *,
    blocked: Mapping[Identifier, str] | None = None,
    progress: Progress = lambda _: None,
) -> WhatIf:
    """What another policy would make of the present evidence. Nothing is changed."""
    values = graph.every_value()
    if blocked is None:
        blocked = {each.identifier: each.reason for each in values if each.state is State.BLOCKED}
    found = resolve(counted(graph.every_observation(), progress), policy, blocked=blocked)
    derived = _Derived(values, found, policy, blocked)
    now = {each.node: each.person for each in values if each.person is not None}
    then = {node: each.person for node, each in derived.values.items() if each.person is not None}
    return _compared(now, then)


def _compared(now: Mapping[Node, int], then: Mapping[Node, int]) -> WhatIf:
    was, becomes = _persons(now), _persons(then)
    into = {name: {then[node] for node in nodes if node in then} for name, nodes in was.items()}
    out_of = {name: {now[node] for node in nodes if node in now} for name, nodes in becomes.items()}
    merged = [name for name, old in sorted(out_of.items()) if len(old) > 1]
    split = [name for name, new in sorted(into.items()) if len(new) > 1]
    examples = [
        *(("merged", [was[old] for old in sorted(out_of[name])], [becomes[name]]) for name in merged[:EXAMPLES]),
        *(("split", [was[name]], [becomes[new] for new in sorted(into[name])]) for name in split[:EXAMPLES]),
    ]
    gone = sum(len(out_of[name]) for name in merged)
    return WhatIf(len(was), len(becomes), gone, len(split), examples)


def _persons(of: Mapping[Node, int]) -> dict[int, list[Node]]:
    found: dict[int, list[Node]] = {}
    for node, person in of.items():
        found.setdefault(person, []).append(node)
    return {name: sorted(nodes) for name, nodes in found.items()}
