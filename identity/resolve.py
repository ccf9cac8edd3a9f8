"""Decide who is who: a pure function of the evidence and the policy, in the order in which it can be explained.

1. An observation whose identifiers contradict each other says nothing (two members in one event).
2. A value is blocked, evidence, a hub, shared, or may link, in epochs where it changed hands; decided on the raw
   observations that mention it and never on persons, so that no circle and no arrival order enters.
3. An observation joins the nodes of its values at its time, all pairs of them; what two nodes were seen together,
   and how well that is proved, is folded into one proof per pair.
4. Pairs whose two ends may link are the links; what they connect is a component.
5. A component that keeps all limits is one person. One that does not is contested: its links are taken by rank, and
   each that would break a limit is refused, with its reason.

Limits are hereditary (what a set keeps, its subsets keep), so 5 is well defined: a component that keeps them would
have been joined link by link as well, and a refusal holds for all that its two sides become later.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import msgspec

from cdp.model import Identifier, Millis
from identity.kinds import Policy
from identity.observation import MAX_IDENTIFIERS, Node, Observation, ObservationId, Proof, fold, strongest
from identity.ownership import Claim, Epoch, anchor_of, label, timeline

Pair = tuple[Node, Node]
"""Two different nodes, the smaller first."""

ANY = ""
"""Stands for all kinds where partners are counted."""


class State(StrEnum):
    """What a value may do: LINK people, or nothing of that kind because it is … PAST is said of epochs alone."""

    LINK = "link"
    SHARED = "shared"
    HUB = "hub"
    EVIDENCE = "evidence"
    BLOCKED = "blocked"
    PAST = "past"


class Standing(NamedTuple):
    """A value's state; the reason unless it is LINK; and the epochs after its first where it changed hands."""

    state: State
    reason: str = ""
    epochs: tuple[Epoch, ...] = ()

    def owner_at(self, at: Millis) -> str:
        """Names the node that stands for the value at that time."""
        if not self.epochs:
            return ""
        return next((each.owner for each in reversed(self.epochs) if each.start <= at), "")

    def nodes(self, value: Identifier) -> list[Node]:
        return [Node(value), *(Node(value, each.owner) for each in self.epochs)]


class Ledger(msgspec.Struct, frozen=True, gc=False):
    """What the observations that mention a value add up to: how many different values of each kind were seen with it
    (of ANY kind, and of those that its fan-out limits), and who claims it. Only grows as observations come."""

    partners: dict[str, int] = {}
    claims: dict[str, Claim] = {}


class Refusal(NamedTuple):
    """A link that was not taken, as its two sides together would break `rule`."""

    a: Node
    b: Node
    rule: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """`components` hold every value that may link and was observed, each component as its persons; a hub or a shared
    value is a component of its own. `proofs` are of all pairs, `contradictions` the observations left out and why;
    `ledgers` and `times` (first, last) are of the values that any of the others mentions.
    """

    standings: Mapping[Identifier, Standing]
    ledgers: Mapping[Identifier, Ledger]
    times: Mapping[Identifier, tuple[Millis, Millis]]
    components: list[list[frozenset[Node]]]
    refusals: frozenset[Refusal]
    proofs: Mapping[Pair, Proof]
    contradictions: Mapping[ObservationId, str]

    @property
    def persons(self) -> frozenset[frozenset[Node]]:
        return frozenset(person for component in self.components for person in component)


def resolve(
    observations: Iterable[Observation], policy: Policy, *, blocked: Mapping[Identifier, str] | None = None
) -> Resolution:
    """Who is who by this evidence. `blocked` are values known to be unusable, beside those the policy blocks."""
    blocked = blocked or {}
    evidence = {each.id: each for each in observations}
    values = {value for each in evidence.values() for value in each.identifiers}
    standings = {value: standing_of(value, policy, blocked.get(value)) for value in values}
    unusable = {value for value in values if standings[value].state is State.BLOCKED}
    usable: dict[ObservationId, tuple[Identifier, ...]] = {}
    contradictions: dict[ObservationId, str] = {}
    for key, each in evidence.items():
        met = usable_of(each, unusable, policy)
        if reason := contradiction(each, met, policy):
            contradictions[key] = reason
        else:
            usable[key] = met

    ledgers = ledgers_of(((evidence[key], met) for key, met in usable.items()), policy)
    for value, ledger in ledgers.items():
        standings[value] = judge(value, ledger, standings[value], policy)
    proofs: dict[Pair, Proof] = {}
    for key, met in usable.items():
        proof = Proof.of(evidence[key])
        for pair in node_pairs(evidence[key], met, standings.__getitem__, policy):
            proofs[pair] = fold(proofs[pair], proof) if pair in proofs else proof

    linking = {node for value in values for node in standings[value].nodes(value) if standings[value].state is LINK}
    alone = [[frozenset([Node(value)])] for value in values if standings[value].state in ALONE]
    parts, refusals = cut(linking, {pair: proof for pair, proof in proofs.items() if linking.issuperset(pair)}, policy)
    times = times_of((evidence[key], met) for key, met in usable.items())
    return Resolution(standings, ledgers, times, alone + parts, frozenset(refusals), proofs, contradictions)


LINK = State.LINK
ALONE = (State.HUB, State.SHARED)


# Values


def standing_of(value: Identifier, policy: Policy, unusable: str | None = None) -> Standing:
    """What a value is before anything was seen of it."""
    reason = unusable or policy.blocked(value.kind, value.value)
    if reason:
        return Standing(State.BLOCKED, reason)
    if not policy.links(value.kind):
        return Standing(State.EVIDENCE, f"{value.kind} is counted and never linked on")
    return Standing(State.LINK)


def judge(value: Identifier, ledger: Ledger, base: Standing, policy: Policy) -> Standing:
    """What a value is by what was seen of it. `base` as by `standing_of`: blocked and evidence stay so."""
    if base.state in (State.BLOCKED, State.EVIDENCE):
        return base
    if reason := hub_reason(value.kind, ledger.partners, policy):
        return Standing(State.HUB, reason)
    owned = timeline(value.kind, ledger.claims, policy)
    return Standing(State.SHARED, owned) if isinstance(owned, str) else Standing(State.LINK, "", owned)


def hub_reason(kind: str, partners: Mapping[str, int], policy: Policy) -> str | None:
    """Why a value seen with so many different values by kind is a hub, or None. Monotone in the counts."""
    limits = policy.kind(kind).fan_out
    over = [
        f"seen with more than {limits[other]} values of {other}"
        for other in sorted(limits)
        if partners.get(other, 0) > limits[other]
    ]
    if partners.get(ANY, 0) > policy.max_cluster:
        # More than a person may have identifiers; so not all of them can be one person's.
        over.append(f"seen with more than {policy.max_cluster} values")
    return "; ".join(over) or None


def counted(kind: str, other: str, policy: Policy) -> tuple[str, ...]:
    """Under which names a partner of kind `other` is counted for a value of kind `kind`."""
    if not policy.links(kind):
        return ()
    return (ANY, other) if other in policy.kind(kind).fan_out else (ANY,)


def claims_in(
    observation: Observation, met: Collection[Identifier], policy: Policy
) -> Iterator[tuple[Identifier, str, Claim]]:
    """Which values an observation proves to be whose: (value, anchor's label, claim)."""
    if observation.strength < policy.owner_strength or observation.different:
        return
    anchor = anchor_of(met, policy)
    if anchor is not None:
        claim = Claim(observation.strength, observation.occurred_at, observation.occurred_at)
        for value in met:
            if policy.kind(value.kind).changes_hands:
                yield value, label(anchor), claim


def ledgers_of(
    usable: Iterable[tuple[Observation, Collection[Identifier]]], policy: Policy
) -> dict[Identifier, Ledger]:
    """The ledger of each value in these observations, none of which contradicts itself."""
    partners: defaultdict[Identifier, set[Identifier]] = defaultdict(set)
    claims: defaultdict[Identifier, dict[str, Claim]] = defaultdict(dict)
    for each, met in usable:
        if not each.different:
            for value in met:
                partners[value].update(met)
        for value, name, claim in claims_in(each, met, policy):
            there = claims[value].get(name)
            claims[value][name] = there.with_(claim) if there else claim
    return {value: Ledger(_count(value, others, policy), claims.get(value, {})) for value, others in partners.items()}


def _count(value: Identifier, others: Collection[Identifier], policy: Policy) -> dict[str, int]:
    counts: dict[str, int] = {}
    for other in others:
        if other != value:
            for name in counted(value.kind, other.kind, policy):
                counts[name] = counts.get(name, 0) + 1
    return counts


def times_of(
    usable: Iterable[tuple[Observation, Collection[Identifier]]],
) -> dict[Identifier, tuple[Millis, Millis]]:
    """When each value of these observations was first and last seen."""
    times: dict[Identifier, tuple[Millis, Millis]] = {}
    for each, met in usable:
        if not each.different:
            for value in met:
                first, last = times.get(value, (each.occurred_at, each.occurred_at))
                times[value] = (min(first, each.occurred_at), max(last, each.occurred_at))
    return times


# Observations


def usable_of(observation: Observation, unusable: Container[Identifier], policy: Policy) -> tuple[Identifier, ...]:
    """The identifiers of an observation that count, sorted: not blocked, and of very many only the strongest."""
    met = {value for value in observation.identifiers if value not in unusable}
    return tuple(sorted(met if len(met) <= MAX_IDENTIFIERS else strongest(met, policy)[:MAX_IDENTIFIERS]))


def contradiction(observation: Observation, met: Collection[Identifier], policy: Policy) -> str | None:
    """Why these cannot be one person's: two values of a kind of which a person has one; None where they can."""
    if observation.different or len(met) < 2:
        return None
    groups = Counter(policy.group(each.kind, each.value) for each in met if policy.kind(each.kind).exclusive)
    twice = sorted(kind for (kind, _), count in groups.items() if count > 1)
    return f"two values of {twice[0]} in one observation" if twice else None


def node_pairs(
    observation: Observation, met: Iterable[Identifier], standing: Callable[[Identifier], Standing], policy: Policy
) -> Iterator[Pair]:
    """All pairs of nodes that it speaks of, not a star: whether a link stands then depends on its two ends only.

    `met` is sorted. It joins what stood for its values at its time. "Different" holds for all times. Two values of
    kinds that are only counted make no pair.
    """
    pairs: Iterable[Pair]
    if observation.different:
        sides = [standing(each).nodes(each) for each in met]
        pairs = ((a, b) for one, other in combinations(sides, 2) for a in one for b in other)
    else:
        at = observation.occurred_at
        pairs = combinations([Node(each, standing(each).owner_at(at)) for each in met], 2)
    for a, b in pairs:
        if policy.links(a.identifier.kind) or policy.links(b.identifier.kind):
            yield a, b


# Persons


def cut(
    nodes: Iterable[Node], proofs: Mapping[Pair, Proof], policy: Policy
) -> tuple[list[list[frozenset[Node]]], list[Refusal]]:
    """The components of these nodes, each as its persons; and the links refused between them. All proofs are of
    pairs within `nodes`."""
    parts, refusals = [], []
    found = components(nodes, (pair for pair, proof in proofs.items() if proof.links))
    for component, inside in _apart(found, proofs):
        persons, refused = partition(component, inside, policy)
        parts.append(persons)
        refusals += refused
    return parts, refusals


def components(nodes: Iterable[Node], links: Iterable[Pair]) -> list[set[Node]]:
    """What the links connect, each node in one component."""
    of: dict[Node, set[Node]] = {node: {node} for node in nodes}
    for a, b in links:
        one, other = of[a], of[b]
        if one is not other:
            small, large = sorted((one, other), key=len)
            large |= small
            of.update(dict.fromkeys(small, large))
    return list({id(component): component for component in of.values()}.values())


def _apart(found: list[set[Node]], proofs: Mapping[Pair, Proof]) -> Iterator[tuple[set[Node], dict[Pair, Proof]]]:
    place = {node: n for n, component in enumerate(found) for node in component}
    own: list[dict[Pair, Proof]] = [{} for _ in found]
    for pair, proof in proofs.items():
        if place[pair[0]] == place[pair[1]]:
            own[place[pair[0]]][pair] = proof
    return zip(found, own, strict=True)


def partition(
    component: Collection[Node], proofs: Mapping[Pair, Proof], policy: Policy
) -> tuple[list[frozenset[Node]], list[Refusal]]:
    """The persons of one component, and the links that were refused between them."""
    if len(component) == 1:
        return [frozenset(component)], []
    foes = _foes(proofs)
    if broken_limit(counts_of(component, policy), len(component), policy) is None and not foes:
        return [frozenset(component)], []
    cluster = {node: _Cluster({node}, counts_of([node], policy), foes.get(node, set())) for node in component}
    refusals = []
    links = (pair for pair in proofs if proofs[pair].links)
    for a, b in sorted(links, key=lambda pair: rank(pair, proofs[pair], policy)):
        small, large = sorted((cluster[a], cluster[b]), key=lambda each: len(each.nodes))
        if small is large:
            continue
        if rule := small.barrier(large, policy):
            refusals.append(Refusal(a, b, rule))
            continue
        large.take(small)
        cluster.update(dict.fromkeys(small.nodes, large))
    return list({frozenset(each.nodes) for each in cluster.values()}), refusals


def rank(pair: Pair, proof: Proof, policy: Policy) -> tuple[int, int, int, int, Pair]:
    """Sorts links best first: stronger, then newer (a phone belongs to whom proved it last), then between the better
    kinds, then by the pair. Of two members who log in with one e-mail address each so keeps her own cookie: it goes
    with the member id that it came with, before it could go with an address that is another's by now."""
    worse, better = sorted(policy.kind(node.identifier.kind).priority for node in pair)
    return -proof.strength, -proof.at, -better, -worse, pair


DIFFERENT = "called different"
Group = tuple[str, str]


def counts_of(nodes: Iterable[Node], policy: Policy) -> Counter[Group]:
    return Counter(policy.group(each.identifier.kind, each.identifier.value) for each in nodes)


def broken_limit(counts: Mapping[Group, int], size: int, policy: Policy) -> str | None:
    """The first limit that such a person would break, or None."""
    if size > policy.max_cluster:
        return f"more than {policy.max_cluster} identifiers"
    for group in sorted(counts):
        limit = policy.kind(group[0]).max_per_person
        if limit is not None and counts[group] > limit:
            return f"more than {limit} of {'/'.join(filter(None, group))}"
    return None


def _foes(proofs: Mapping[Pair, Proof]) -> dict[Node, set[Node]]:
    foes: defaultdict[Node, set[Node]] = defaultdict(set)
    for (a, b), proof in proofs.items():
        if proof.parts:
            foes[a].add(b)
            foes[b].add(a)
    return dict(foes)


@dataclass(slots=True)
class _Cluster:
    """A person in the making; `foes` are the nodes that must not join it."""

    nodes: set[Node]
    counts: Counter[Group]
    foes: set[Node] = field(default_factory=set)

    def barrier(self, other: _Cluster, policy: Policy) -> str | None:
        """Why these two cannot be one person, or None."""
        if not self.foes.isdisjoint(other.nodes):
            return DIFFERENT
        return broken_limit(self.counts + other.counts, len(self.nodes) + len(other.nodes), policy)

    def take(self, other: _Cluster) -> None:
        self.nodes |= other.nodes
        self.counts += other.counts
        self.foes = self.foes | other.foes
