"""Form persons anew in those components that changed links or standings touch, and tell what became of each person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from identity.changes import ChangeKind, Turn, turns
from identity.desk import Desk
from identity.graph import StoredRefusal, StoredTurn, Value
from identity.observation import Node, ObservationId, Proof
from identity.resolve import ALONE, Pair, State, broken_limit, counts_of, cut


class Regrouping:
    """What the desk's values and its commit's pairs come to in persons."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.commit, self.policy = desk, desk.commit, desk.policy
        self.news = self.commit.new_pairs | self.commit.changed_pairs
        self.roots = _Roots()

    def run(self) -> list[StoredTurn]:
        """Place every value that may belong to another person now, and fill in the commit's conclusions."""
        self.part()
        turned = self.turned()
        unsure = self.unsure(turned)
        self.join(turned)
        groups = self.groups(unsure)
        return self.conclude(groups)

    def part(self) -> None:
        """Mark nodes that some other must not join."""
        for key in (key for key, proof in self.news.items() if proof.parts):
            for value in self.desk.ends(key):
                if not value.parted:
                    value.parted = True
                    self.desk.touched.add(value.number)

    def unsure(self, turned: Sequence[Value]) -> set[int]:
        """Components that may fall apart: a node or a link went out of them, or two of their nodes must not meet."""
        found: set[int] = set()
        for value in turned:
            # What links again begins as a component of its own, as what it was since had none or was one.
            value.component = value.component or value.number
            found.add(value.component)
        for key in [*self.commit.dropped_pairs, *(key for key, proof in self.news.items() if proof.apart)]:
            found |= {value.component for value in self.desk.ends(key) if value.component is not None}
        return found

    def turned(self) -> list[Value]:
        """Nodes that may link from now on, or no longer."""
        return [
            self.desk.by_number[number]
            for number, (_, standing) in self.desk.was.items()
            if (self.desk.by_number[number].state is State.LINK) is not (standing.state is State.LINK)
        ]

    def join(self, turned: Sequence[Value]) -> None:
        """What new, better and newly eligible links connect belongs together until it is cut."""
        relinked = [value.number for value in turned if value.state is State.LINK]
        eligible = self.desk.graph.pairs_at(self.desk.existed(relinked))
        self.desk.hold_numbers({number for key in eligible for number in key})
        for key in (*eligible.keys() - self.commit.dropped_pairs, *self.news):
            a, b = self.desk.ends(key)
            if not (self.news.get(key) or eligible[key]).links:
                continue
            if a.state is b.state is State.LINK and (a.component != b.component or a.contested):
                self.roots.join(component_of(a), component_of(b))

    def groups(self, unsure: set[int]) -> list[list[Value]]:
        touched = unsure.union(self.roots.parent)
        self.desk.hold_all(self.desk.graph.neighbourhood(self.desk.existed(touched), pairs=False).values)
        members: defaultdict[int, list[Value]] = defaultdict(list)
        for value in self.desk.values:
            if value.component in touched:
                members[self.roots.find(value.component)].append(value)
        unsure = {self.roots.find(each) for each in unsure}
        plain = [group for root, group in members.items() if root not in unsure and self.fits(group)]
        for group in plain:
            self.place(group, group)
        hard = [group for root, group in members.items() if root in unsure or not self.fits(group)]
        self.cut(hard)
        return plain + hard

    def fits(self, group: Sequence[Value]) -> bool:
        """Whether these are one person without asking which link joins what."""
        if any(value.contested for value in group) or sum(value.parted for value in group) > 1:
            return False
        return broken_limit(counts_of((each.node for each in group), self.policy), len(group), self.policy) is None

    def cut(self, groups: Sequence[Sequence[Value]]) -> None:
        """Place the values of groups that may fall apart: those that must not link alone, the others as their links
        say."""
        for group in groups:
            self.commit.unsettled |= {value.number for value in group if value.contested}
            for value in group:
                if value.state in ALONE:
                    self.place([value], [value])
                elif value.state is not State.LINK:
                    self.nobody(value)
        inside = self.proofs(groups)
        for group, proofs in zip(groups, inside, strict=True):
            components, refusals = cut((each.node for each in group if each.state is State.LINK), proofs, self.policy)
            for persons in components:
                whole = [self.desk.nodes[node] for person in persons for node in person]
                for person in persons:
                    self.place([self.desk.nodes[node] for node in person], whole, contested=len(persons) > 1)
            self.commit.refusals += [StoredRefusal(*self.desk.key(each.a, each.b), each.rule) for each in refusals]

    def proofs(self, groups: Sequence[Sequence[Value]]) -> list[dict[Pair, Proof]]:
        """All proofs between the linking values of each group."""
        group_of = {value.number: n for n, group in enumerate(groups) for value in group if value.state is State.LINK}
        whole = self.desk.existed(component_of(value) for group in groups for value in group if value.component)
        stored = self.desk.graph.neighbourhood(whole, pairs=True).pairs
        found: list[dict[Pair, Proof]] = [{} for _ in groups]
        for key, proof in (stored | self.news).items():
            place = group_of.get(key[0])
            if place is not None and place == group_of.get(key[1]) and key not in self.commit.dropped_pairs:
                found[place][_pair(*self.desk.ends(key))] = proof
        return found

    def place(self, person: Sequence[Value], component: Sequence[Value], *, contested: bool = False) -> None:
        name, whole = min(value.number for value in person), min(value.number for value in component)
        for value in person:
            self.put(value, name, whole, contested)

    def nobody(self, value: Value) -> None:
        self.put(value, None, None, False)

    def put(self, value: Value, person: int | None, component: int | None, contested: bool) -> None:
        if (value.person, value.component, value.contested) != (person, component, contested):
            value.person, value.component, value.contested = person, component, contested
            self.desk.touched.add(value.number)

    # What happened

    def conclude(self, groups: Sequence[Sequence[Value]]) -> list[StoredTurn]:
        """Note which values changed and what became of persons, each with the best new proof as its cause."""
        desk, commit = self.desk, self.commit
        born = {value.number for value in commit.born}
        commit.changed = [desk.by_number[number] for number in sorted(desk.touched - born)]
        commit.moved = [
            value
            for number, value in sorted(desk.by_number.items())
            if number in born or desk.was[number] != (value.person, value.standing)
        ]
        concerned = {value.number: value for value in (*commit.born, *(each for group in groups for each in group))}
        after = {number: person for number, value in concerned.items() if (person := self.now(value)) is not None}
        before = {number: was for number in after if number in desk.was and (was := desk.was[number][0]) is not None}
        causes = self.causes()
        # Where evidence was taken away there is no new proof: what was taken is the cause.
        taken = min(commit.retracted, default=None)
        found = [StoredTurn(turn, _cause(turn, causes) or taken) for turn in turns(before, after)]
        commit.turns = [each for each in found if each.turn.kind is not ChangeKind.CREATED]
        return found

    def now(self, value: Value) -> int | None:
        """Whose a node is; what an epoch was before it went is its identifier's first node's."""
        return self.desk.by_number[value.base].person if value.state is State.PAST else value.person

    def causes(self) -> dict[int, Proof]:
        best: dict[int, Proof] = {}
        for key, proof in self.news.items():
            persons = {self.desk.was[number][0] for number in key if number in self.desk.was}
            persons |= {self.desk.by_number[number].person for number in key}
            for person in persons - {None}:
                best[person] = max(best.get(person, proof), proof)  # type: ignore[index, arg-type]
        return best


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


def component_of(value: Value) -> int:
    """Of a value that links or did so until now."""
    if value.component is None:
        raise AssertionError("only what never links has no component")
    return value.component


def _pair(one: Value, other: Value) -> tuple[Node, Node]:
    a, b = sorted((one.node, other.node))
    return a, b


def _cause(turn: Turn, causes: Mapping[int, Proof]) -> ObservationId | None:
    proofs = [causes[person] for person in (turn.person, *turn.others) if person in causes]
    return max(proofs).observation if proofs else None
