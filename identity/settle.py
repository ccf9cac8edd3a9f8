"""Draw the conclusions of new evidence from the old ones, touching only what it can have changed.

Equals `resolve.resolve` over all evidence after every step, and is made of its parts. What can change: a pair never
seen before joins two components, or makes one of its ends a hub; a better proof changes the ranks in a contested
component. All else is one row more and no new conclusion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import ChangeKind, Turn, turns
from identity.graph import (
    Commit,
    Graph,
    Head,
    PairKey,
    StoredObservation,
    StoredRefusal,
    StoredSet,
    StoredTurn,
    Value,
)
from identity.kinds import Policy
from identity.observation import Observation, ObservationId, Proof, fold, pid, set_id, strongest
from identity.recent import Recent
from identity.resolve import (
    Pair,
    State,
    broken_limit,
    components,
    contradiction,
    counts_of,
    hub_reason,
    pairs_of,
    partition,
    standing_of,
    usable_of,
)

VALUES_KEPT = 200_000
PAIRS_KEPT = 200_000

SetMembers = Mapping[SetId, tuple[Identifier, ...]]


@dataclass(frozen=True, slots=True)
class Memory:
    """Rows of the store that were used lately, as last committed; what is settled works on copies."""

    values: Recent[Identifier, Value] = field(default_factory=lambda: Recent(VALUES_KEPT))
    pairs: Recent[PairKey, Proof] = field(default_factory=lambda: Recent(PAIRS_KEPT))

    def keep(self, settled: Settled) -> None:
        """To be called once the commit is written."""
        for value in settled.values:
            self.values.put(value.identifier, value)
        for key, proof in (settled.commit.new_pairs | settled.commit.changed_pairs).items():
            self.pairs.put(key, proof)


@dataclass(frozen=True, slots=True)
class Settled:
    """`turns` are all that happened to persons, the created ones included; `sets` known before that moved."""

    commit: Commit
    values: Sequence[Value]
    turns: Sequence[StoredTurn]
    sets: frozenset[SetId]


def settle(
    graph: Graph,
    policy: Policy,
    memory: Memory,
    *,
    head: Head,
    at: Millis,
    sets: SetMembers,
    observations: Sequence[Observation],
    blocked: Mapping[Identifier, str],
) -> Settled:
    """What to commit for these sets and observations, none of which the store has. Reads the store, writes nothing.

    Values are born in the order in which they come; so the same call on the same state gives the same names.
    """
    work = _Work(graph, policy, memory, head, Commit(head.seq + 1, at))
    work.meet((value for members in sets.values() for value in members), blocked)
    work.meet((value for each in observations for value in each.identifiers), blocked)
    reranked = work.take_in(observations)
    hubs = work.find_hubs()
    groups = work.regroup(hubs, reranked)
    moved_sets = work.own(sets, hubs)
    happened = work.conclude(groups, reranked)
    return Settled(work.commit, tuple(work.by_number.values()), happened, moved_sets)


class _Work:
    """One commit in the making. `before` is the person of each value that existed, as it was."""

    def __init__(self, graph: Graph, policy: Policy, memory: Memory, head: Head, commit: Commit) -> None:
        self.graph, self.policy, self.memory, self.head, self.commit = graph, policy, memory, head, commit
        self.values: dict[Identifier, Value] = {}
        self.by_number: dict[int, Value] = {}
        self.before: dict[int, int | None] = {}
        self.touched: set[int] = set()

    # Values

    def meet(self, identifiers: Iterable[Identifier], blocked: Mapping[Identifier, str]) -> None:
        """Hold a value for each identifier; those that nobody knows are born."""
        wanted = [each for each in dict.fromkeys(identifiers) if each not in self.values]
        unknown = {}
        for each in wanted:
            kept = self.memory.values.get(each)
            if kept is None:
                unknown[each] = pid(each)
            else:
                self.hold(_copy(kept))
        self.hold_all(self.graph.values(unknown.values()))
        for each, its_pid in unknown.items():
            if each not in self.values:
                self.bear(each, its_pid, blocked.get(each))

    def hold(self, value: Value) -> None:
        if value.number not in self.by_number:
            self.values[value.identifier] = self.by_number[value.number] = value
            self.before[value.number] = value.person

    def hold_all(self, values: Iterable[Value]) -> None:
        for value in values:
            self.hold(value)

    def bear(self, identifier: Identifier, its_pid: PersonId, unusable: str | None) -> None:
        number = self.head.births + len(self.commit.born) + 1
        standing = standing_of(identifier, self.policy, unusable)
        alone = number if standing.state is State.LINK else None
        value = Value(number, its_pid, identifier, standing.state, standing.reason, alone, alone, partners={})
        self.values[identifier] = self.by_number[number] = value
        self.commit.born.append(value)

    # Evidence

    def take_in(self, observations: Sequence[Observation]) -> list[PairKey]:
        """Fold the observations into pairs; returns those pairs known before whose rank is now better."""
        unusable = {each for each, value in self.values.items() if value.state is State.BLOCKED}
        fresh: dict[PairKey, Proof] = {}
        for each in observations:
            met = usable_of(each, unusable, self.policy)
            refused = contradiction(met, self.policy)
            self.commit.observations.append(_stored(each, refused))
            self.see(each)
            if refused is None:
                proof = Proof.of(each)
                for a, b in pairs_of(met):
                    key = self.key(a, b)
                    fresh[key] = fold(fresh[key], proof) if key in fresh else proof
        return self.compare(fresh)

    def see(self, observation: Observation) -> None:
        at = observation.occurred_at
        for identifier in observation.identifiers:
            value = self.values[identifier]
            if value.first_seen is None or value.last_seen is None:
                value.first_seen = value.last_seen = at
            elif value.first_seen <= at <= value.last_seen:
                continue
            else:
                value.first_seen, value.last_seen = min(at, value.first_seen), max(at, value.last_seen)
            self.touched.add(value.number)

    def compare(self, fresh: Mapping[PairKey, Proof]) -> list[PairKey]:
        known = self.known_pairs(fresh)
        better = []
        for key, proof in fresh.items():
            old = known.get(key)
            if old is None:
                self.commit.new_pairs[key] = proof
                continue
            new = fold(old, proof)
            if new != old:
                self.commit.changed_pairs[key] = new
            if new[:2] != old[:2]:
                better.append(key)
        return better

    def known_pairs(self, keys: Iterable[PairKey]) -> dict[PairKey, Proof]:
        known: dict[PairKey, Proof] = {}
        unknown = []
        for key in keys:
            kept = self.memory.pairs.get(key)
            if kept is not None:
                known[key] = kept
            elif key[1] <= self.head.births:  # a value born just now was never seen with anything
                unknown.append(key)
        return known | self.graph.pairs(unknown)

    def find_hubs(self) -> list[Value]:
        """Count the new pairs; returns the values that have just become hubs."""
        hubs = []
        for key in self.commit.new_pairs:
            a, b = (self.by_number[number] for number in key)
            hubs += [value for value, other in ((a, b), (b, a)) if self.count(value, other.identifier.kind)]
        return hubs

    def count(self, value: Value, other: str) -> bool:
        kind = value.identifier.kind
        if other not in self.policy.kind(kind).fan_out:
            return False
        value.partners[other] = value.partners.get(other, 0) + 1
        self.touched.add(value.number)
        reason = hub_reason(kind, value.partners, self.policy)
        if reason is None or value.state not in (State.LINK, State.HUB):
            return False
        became, value.state, value.reason = value.state is State.LINK, State.HUB, reason
        return became

    # Persons

    def regroup(self, hubs: Sequence[Value], reranked: Sequence[PairKey]) -> list[list[Value]]:
        """Place every value of the components that may have changed; returns these values, by group."""
        roots = _Roots()
        for key in (*self.commit.new_pairs, *reranked):
            a, b = (self.by_number[number] for number in key)
            if a.state is b.state is State.LINK and (a.component != b.component or a.contested):
                roots.join(_component(a), _component(b))
        unsure = {_component(hub) for hub in hubs}
        touched = unsure.union(roots.parent)
        self.hold_all(self.graph.neighbourhood(self.existing(touched), pairs=False).values)

        members: defaultdict[int, list[Value]] = defaultdict(list)
        for value in self.by_number.values():
            if value.component in touched:
                members[roots.find(value.component)].append(value)
        unsure = {roots.find(each) for each in unsure}
        plain: list[list[Value]] = []
        hard: list[list[Value]] = []
        for root, group in members.items():
            # What is contested does not fit, and fits again only when a hub has left it.
            (plain if root not in unsure and self.fits(group) else hard).append(group)
        for group in plain:
            self.place(group, group)
        self.cut(hard)
        return plain + hard

    def existing(self, components: Iterable[int]) -> set[int]:
        return {each for each in components if each <= self.head.births}

    def fits(self, group: Sequence[Value]) -> bool:
        return (
            broken_limit(counts_of((each.identifier for each in group), self.policy), len(group), self.policy) is None
        )

    def cut(self, groups: Sequence[Sequence[Value]]) -> None:
        """Place the values of groups that may fall apart: hubs alone, the others as their links say."""
        group_of = {value.number: n for n, group in enumerate(groups) for value in group}
        whole = self.existing(_component(value) for group in groups for value in group)
        stored = self.graph.neighbourhood(whole, pairs=True).pairs
        links: list[dict[Pair, Proof]] = [{} for _ in groups]
        for (a, b), proof in (stored | self.commit.new_pairs | self.commit.changed_pairs).items():
            one, other = self.by_number[a], self.by_number[b]
            if a in group_of and b in group_of and one.state is other.state is State.LINK:
                links[group_of[a]][_pair(one, other)] = proof
        for group, its_links in zip(groups, links, strict=True):
            self.commit.unsettled |= {value.number for value in group if value.contested}
            for hub in group:
                if hub.state is not State.LINK:
                    self.place([hub], [hub])
            linking = {value.identifier for value in group if value.state is State.LINK}
            for component in components(linking, its_links):
                self.divide(component, {pair: its_links[pair] for pair in its_links if pair[0] in component})

    def divide(self, component: set[Identifier], links: Mapping[Pair, Proof]) -> None:
        clusters, refusals = partition(component, links, self.policy)
        whole = [self.values[each] for each in component]
        for cluster in clusters:
            self.place([self.values[each] for each in cluster], whole, contested=len(clusters) > 1)
        for each in refusals:
            self.commit.refusals.append(StoredRefusal(*self.key(each.a, each.b), each.rule))

    def place(self, cluster: Sequence[Value], component: Sequence[Value], *, contested: bool = False) -> None:
        person, whole = min(value.number for value in cluster), min(value.number for value in component)
        for value in cluster:
            if (value.person, value.component, value.contested) != (person, whole, contested):
                value.person, value.component, value.contested = person, whole, contested
                self.touched.add(value.number)

    # Sets

    def own(self, sets: SetMembers, hubs: Sequence[Value]) -> frozenset[SetId]:
        """Give each new set its owner, and another to those of new hubs; returns known sets that changed persons."""
        for each, members in sets.items():
            values = [self.values[value] for value in dict.fromkeys(members)]
            numbers = tuple(sorted(value.number for value in values))
            self.commit.new_sets.append(StoredSet(each, self.owner(values), numbers))
        existed = self.head.births
        moved = {number for number, was in self.before.items() if self.by_number[number].person != was}
        fallen = {hub.number for hub in hubs if hub.number <= existed}
        owned = self.graph.owned(moved | fallen)
        orphans = [each for each, owner in owned.items() if owner in fallen]
        for each, identifiers in self.graph.members(orphans).items():
            self.meet(identifiers, {})
            self.commit.owners[each] = self.owner([self.values[value] for value in identifiers])
        return frozenset(each for each, owner in owned.items() if self.before[owner] != self.person_of(each, owner))

    def owner(self, values: Sequence[Value]) -> int | None:
        """The strongest value that links, else the strongest hub, else nobody."""
        for state in (State.LINK, State.HUB):
            standing = {value.identifier: value.number for value in values if value.state is state}
            if standing:
                return standing[strongest(standing, self.policy)[0]]
        return None

    def person_of(self, each: SetId, owner: int) -> int | None:
        now = self.commit.owners.get(each, owner)
        return None if now is None else self.by_number[now].person

    # The end

    def conclude(self, groups: Sequence[Sequence[Value]], reranked: Sequence[PairKey]) -> list[StoredTurn]:
        """Note which values changed and what became of persons, each with the best new proof as its cause."""
        born = {value.number for value in self.commit.born}
        self.commit.changed = [self.by_number[number] for number in sorted(self.touched - born)]
        self.commit.moved = [
            value for number, value in sorted(self.by_number.items()) if value.person != self.before.get(number)
        ]
        concerned = {value.number: value for group in groups for value in group}
        concerned |= {value.number: value for value in self.commit.born}
        after = {number: value.person for number, value in concerned.items() if value.person is not None}
        before = {number: was for number in after if (was := self.before.get(number)) is not None}
        causes = self.causes((*self.commit.new_pairs, *reranked))
        found = [StoredTurn(turn, _cause(turn, causes)) for turn in turns(before, after)]
        self.commit.turns = [each for each in found if each.turn.kind is not ChangeKind.CREATED]
        return found

    def causes(self, keys: Iterable[PairKey]) -> dict[int, Proof]:
        best: dict[int, Proof] = {}
        news = self.commit.new_pairs | self.commit.changed_pairs
        for key in keys:
            named = {self.before.get(number) for number in key} | {self.by_number[number].person for number in key}
            for person in named:
                if person is not None:
                    best[person] = max(best.get(person, news[key]), news[key])
        return best

    def key(self, a: Identifier, b: Identifier) -> PairKey:
        one, other = self.values[a].number, self.values[b].number
        return (one, other) if one < other else (other, one)


class _Roots:
    """Union-find over components; what was never joined is its own root."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def find(self, component: int) -> int:
        root = component
        while (above := self.parent.get(root, root)) != root:
            root = above
        if component in self.parent:
            self.parent[component] = root  # keeps long chains short
        return root

    def join(self, a: int, b: int) -> None:
        self.parent.setdefault(a, a)
        self.parent.setdefault(b, b)
        self.parent[self.find(a)] = self.find(b)


def _component(value: Value) -> int:
    """Of a value that links or was just found to be a hub."""
    if value.component is None:
        raise AssertionError("only blocked values and evidence have no component")
    return value.component


def _copy(value: Value) -> Value:
    mine = copy(value)
    mine.partners = dict(value.partners)
    return mine


def _pair(one: Value, other: Value) -> Pair:
    a, b = sorted((one.identifier, other.identifier))
    return a, b


def _stored(each: Observation, refused: str | None) -> StoredObservation:
    return StoredObservation(
        each.id, set_id(each.identifiers), each.strength, each.occurred_at, each.source, refused or ""
    )


def _cause(turn: Turn, causes: Mapping[int, Proof]) -> ObservationId | None:
    proofs = [causes[person] for person in (turn.person, *turn.others) if person in causes]
    return max(proofs).observation if proofs else None
