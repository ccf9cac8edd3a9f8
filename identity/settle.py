"""Draw the conclusions of new evidence from the old ones, touching only what it can have changed.

Equals `resolve.resolve` over all evidence after every step, and is made of its parts. New observations add to the
ledgers of their values and to the proofs of their pairs. What cannot be added up, because evidence was taken away or
a value changed hands, is derived again from all observations that mention the value. Persons are then formed anew in
those components that a changed link or standing touches, and nowhere else.

Adding, retracting, blocking, a steward's word and a recycled number all pass here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from cdp.model import Identifier, Millis, SetId
from identity.desk import Desk, Memory, nodes_of
from identity.graph import NOTHING_SEEN, Commit, Graph, Head, PairKey, StoredObservation, StoredSet, StoredTurn, Value
from identity.kinds import Policy
from identity.observation import Observation, ObservationId, Proof, fold, set_id
from identity.ownership import Claim
from identity.regroup import Regrouping
from identity.resolve import (
    Ledger,
    Standing,
    State,
    claims_in,
    contradiction,
    counted,
    judge,
    ledgers_of,
    node_pairs,
    standing_of,
    times_of,
    usable_of,
)

SetMembers = Mapping[SetId, tuple[Identifier, ...]]
Usable = tuple[Observation, tuple[Identifier, ...]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one call brings. `observations` and `sets` are unknown to the store. `blocked` are values that must never
    link, with the reason. `retracted` are known observations that no longer count, with the note to keep of it."""

    sets: SetMembers = field(default_factory=dict)
    observations: Sequence[Observation] = ()
    blocked: Mapping[Identifier, str] = field(default_factory=dict)
    retracted: Mapping[ObservationId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """`turns` are all that happened to persons, the created ones included; `sets` hold a node that moved."""

    commit: Commit
    values: Sequence[Value]
    turns: Sequence[StoredTurn]
    sets: frozenset[SetId]


def settle(graph: Graph, policy: Policy, memory: Memory, *, head: Head, at: Millis, incoming: Incoming) -> Settled:
    """What to commit for what came in. Reads the store, writes nothing.

    Values are born in the order in which they come; so the same call on the same state gives the same names.
    """
    desk = Desk(graph, policy, memory, head, Commit(head.seq + 1, at, retracted=dict(incoming.retracted)))
    work = _Work(desk, incoming)
    work.meet()
    again = work.block() | work.take_back()
    work.add_up()
    work.derive(again | work.judge_all(again))
    regrouping = Regrouping(desk)
    turns = regrouping.run()
    desk.commit.new_sets = [
        StoredSet(each, tuple(sorted({desk[value].number for value in members})))
        for each, members in incoming.sets.items()
    ]
    moved = graph.holding(desk.existed({value.base for value in desk.commit.moved}))
    return Settled(desk.commit, tuple(desk.values), turns, frozenset(moved))


class _Work:
    """Evidence into ledgers, standings and proofs."""

    def __init__(self, desk: Desk, incoming: Incoming) -> None:
        self.desk, self.incoming = desk, incoming
        self.commit, self.policy, self.graph = desk.commit, desk.policy, desk.graph
        self.fresh: list[Usable] = []
        self.ended: dict[int, int] = {}

    def meet(self) -> None:
        """Hold every identifier that came; note the new observations, and which of them count."""
        came = self.incoming
        self.desk.meet((value for members in came.sets.values() for value in members), came.blocked)
        self.desk.meet((value for each in came.observations for value in each.identifiers), came.blocked)

    def block(self) -> set[Identifier]:
        """Values that are known and blocked only now; returns all whose evidence reads differently from now on."""
        self.desk.meet(self.incoming.blocked, self.incoming.blocked)
        late = [self.desk[each] for each in self.incoming.blocked if self.desk[each].state is not State.BLOCKED]
        for value in late:
            self.set_standing(value, Standing(State.BLOCKED, self.incoming.blocked[value.identifier]))
        mentioned = self.graph.mentioning(self.desk.existed(value.base for value in late))
        return {value.identifier for value in late} | self.linkable(mentioned)

    def take_back(self) -> set[Identifier]:
        """Returns the values that retracted observations spoke of."""
        if not self.incoming.retracted:
            return set()
        gone = self.graph.observations(list(self.incoming.retracted))
        return self.linkable(each for each, _ in gone)

    def linkable(self, observations: Iterable[Observation]) -> set[Identifier]:
        return {value for each in observations for value in each.identifiers if self.policy.links(value.kind)}

    # Adding up

    def add_up(self) -> None:
        """Add the new observations to the ledgers of their values."""
        unusable = self.unusable()
        for each in self.incoming.observations:
            met = usable_of(each, unusable, self.policy)
            refused = contradiction(each, met, self.policy)
            self.commit.observations.append(_stored(each, refused))
            if refused is None:
                self.fresh.append((each, met))
        self.count(self.new_partners())
        for each, met in self.fresh:
            if not each.different:
                self.see(each, met)
            for value, name, claim in claims_in(each, met, self.policy):
                self.claim(self.desk[value], name, claim)

    def unusable(self) -> set[Identifier]:
        return {value.identifier for value in self.desk.values if value.state is State.BLOCKED}

    def new_partners(self) -> list[tuple[Value, Value]]:
        """Values that were never seen together before, in any of their epochs."""
        together: dict[tuple[Identifier, Identifier], list[PairKey]] = {}
        for each, met in self.fresh:
            if not each.different:
                for a, b in combinations(met, 2):
                    if (a, b) not in together and (self.policy.links(a.kind) or self.policy.links(b.kind)):
                        together[a, b] = self.keys(self.desk[a], self.desk[b])
        known = self.desk.pairs({key for keys in together.values() for key in keys})
        return [
            (self.desk[a], self.desk[b])
            for (a, b), keys in together.items()
            if not any(key in known and known[key].links for key in keys)
        ]

    def keys(self, a: Value, b: Value) -> list[PairKey]:
        """The pairs that two identifiers may stand in."""
        if not (a.epochs or b.epochs):
            return [(a.number, b.number) if a.number < b.number else (b.number, a.number)]
        return [self.desk.key(one, other) for one in nodes_of(a) for other in nodes_of(b)]

    def count(self, together: Iterable[tuple[Value, Value]]) -> None:
        """Note each as a partner of the other."""
        more: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for one, other in together:
            for value, kind in ((one, other.identifier.kind), (other, one.identifier.kind)):
                counts = more[value.number] or dict(value.ledger.partners)
                for name in counted(value.identifier.kind, kind, self.policy):
                    counts[name] = counts.get(name, 0) + 1
                more[value.number] = counts
        for number, partners in more.items():
            value = self.desk.by_number[number]
            self.set_ledger(value, Ledger(partners, value.ledger.claims))

    def claim(self, value: Value, name: str, claim: Claim) -> None:
        if value.state is State.HUB:
            return  # whose it is no longer matters, and a showroom's tablet has thousands of claims
        there = value.ledger.claims.get(name)
        both = there.with_(claim) if there else claim
        if both != there:
            self.set_ledger(value, Ledger(value.ledger.partners, value.ledger.claims | {name: both}))

    def set_ledger(self, value: Value, ledger: Ledger) -> None:
        if ledger != value.ledger:
            value.ledger = ledger
            self.desk.touched.add(value.number)

    def see(self, observation: Observation, met: Iterable[Identifier]) -> None:
        at = observation.occurred_at
        for value in (self.desk[each] for each in met if self.policy.links(each.kind)):
            self.set_seen(
                value,
                at if value.first_seen is None else min(at, value.first_seen),
                at if value.last_seen is None else max(at, value.last_seen),
            )

    def set_seen(self, value: Value, first: Millis | None, last: Millis | None) -> None:
        if (first, last) != (value.first_seen, value.last_seen):
            value.first_seen, value.last_seen = first, last
            self.desk.touched.add(value.number)

    # Standing

    def judge_all(self, later: set[Identifier]) -> set[Identifier]:
        """Say of each value whose ledger moved what it may do now, but of those that are derived again anyway; returns
        those whose pairs must be too, because they have other epochs than before."""
        again = set()
        for value in [self.desk.by_number[number] for number in self.desk.touched]:
            fixed = value.owner or value.state in (State.BLOCKED, State.EVIDENCE)
            if not fixed and value.identifier not in later:
                before = nodes_of(value)[1:]
                epochs = value.epochs
                self.set_standing(value, judge(value.identifier, value.ledger, Standing(State.LINK), self.policy))
                if value.epochs and value.epochs != epochs:
                    again.add(value.identifier)
                elif value.epochs != epochs:
                    self.ended |= {self.desk.nodes[node].number: value.number for node in before}
        return again

    def set_standing(self, value: Value, standing: Standing) -> None:
        if standing == value.standing:
            return
        for node in nodes_of(value)[1:]:
            self.end(self.desk.nodes[node])
        value.state, value.reason, value.epochs = standing
        self.desk.touched.add(value.number)
        if value.epochs:
            self.desk.bear_epochs(value)
            for node in nodes_of(value)[1:]:
                self.begin(self.desk.nodes[node])

    def end(self, epoch: Value) -> None:
        epoch.state, epoch.reason = State.PAST, "an epoch that other evidence took back"
        self.desk.touched.add(epoch.number)

    def begin(self, epoch: Value) -> None:
        if epoch.state is not State.LINK:
            epoch.state, epoch.reason = State.LINK, ""
            self.desk.touched.add(epoch.number)

    # Proofs

    def derive(self, again: set[Identifier]) -> None:
        """Fold the new observations into the stored proofs; and for the values of `again`, all that mention them."""
        proofs = self.proofs_of(self.fresh, lambda a, b: a not in again and b not in again)
        for key, proof in self.without_epochs(again).items():
            proofs[key] = fold(proofs[key], proof) if key in proofs else proof
        stored = self.desk.pairs(proofs)
        self.compare(
            stored, {key: fold(stored[key], proof) if key in stored else proof for key, proof in proofs.items()}
        )
        if again:
            self.derive_again(again)

    def without_epochs(self, again: set[Identifier]) -> dict[PairKey, Proof]:
        """The stored proofs of epochs that have ended and were the last of their values, as proofs of the values.

        Proofs add up, so a tablet that turns out to be shared needs none of its hundred thousand observations read.
        """
        joined: dict[PairKey, Proof] = {}
        stored = self.graph.pairs_at(self.desk.existed(self.ended))
        self.desk.hold_numbers({number for key in stored for number in key})
        for key, proof in stored.items():
            if again.isdisjoint(end.identifier for end in self.desk.ends(key)):
                self.commit.dropped_pairs.add(key)
                a, b = sorted(self.ended.get(number, number) for number in key)
                joined[a, b] = fold(joined[a, b], proof) if (a, b) in joined else proof
        return joined

    def derive_again(self, again: set[Identifier]) -> None:
        self.desk.meet(again, {})
        usable = list(self.evidence_of(again))
        ledgers = ledgers_of(usable, self.policy)
        seen = times_of(usable)
        for value in map(self.desk.__getitem__, again):
            self.set_ledger(value, ledgers.get(value.identifier, NOTHING_SEEN))
            self.set_seen(value, *seen.get(value.identifier, (None, None)))
            if value.state is not State.BLOCKED:
                base = standing_of(value.identifier, self.policy)
                self.set_standing(value, judge(value.identifier, value.ledger, base, self.policy))
        derived = self.proofs_of(usable, lambda a, b: a in again or b in again)
        before = {
            self.desk.nodes[node].number
            for each in again
            for node in self.desk.was.get(self.desk[each].number, (None, self.desk[each].standing))[1].nodes(each)
        }
        stored = self.graph.pairs_at(self.desk.existed(before))
        self.desk.hold_numbers({number for key in stored for number in key})
        self.compare(stored, derived)
        self.commit.dropped_pairs |= stored.keys() - derived.keys()

    def evidence_of(self, again: set[Identifier]) -> Iterator[Usable]:
        """All that counts, the new included, and mentions any of these."""
        bases = self.desk.existed(self.desk[each].number for each in again)
        kept = [each for each in self.graph.mentioning(bases) if each.id not in self.incoming.retracted]
        kept += [each for each in self.incoming.observations if not again.isdisjoint(each.identifiers)]
        self.desk.meet((value for each in kept for value in each.identifiers), {})
        unusable = self.unusable()
        for each in kept:
            met = usable_of(each, unusable, self.policy)
            if contradiction(each, met, self.policy) is None:
                yield each, met

    def proofs_of(
        self, usable: Iterable[Usable], wanted: Callable[[Identifier, Identifier], bool]
    ) -> dict[PairKey, Proof]:
        proofs: dict[PairKey, Proof] = {}
        for each, met in usable:
            proof = Proof.of(each)
            for a, b in node_pairs(each, met, self.standing, self.policy):
                if wanted(a.identifier, b.identifier):
                    key = self.desk.key(a, b)
                    proofs[key] = fold(proofs[key], proof) if key in proofs else proof
        return proofs

    def standing(self, identifier: Identifier) -> Standing:
        return self.desk[identifier].standing

    def compare(self, stored: Mapping[PairKey, Proof], now: Mapping[PairKey, Proof]) -> None:
        for key, proof in now.items():
            old = stored.get(key)
            if old is None:
                self.commit.new_pairs[key] = proof
            elif old != proof:
                self.commit.changed_pairs[key] = proof


def _stored(each: Observation, refused: str | None) -> StoredObservation:
    return StoredObservation(
        each.id,
        set_id(each.identifiers),
        each.strength,
        each.occurred_at,
        each.source,
        each.different,
        each.note,
        refused or "",
    )
