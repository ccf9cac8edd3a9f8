"""Decide who is who: a pure function of the evidence and the policy, in the order in which it can be explained.

1. An observation whose identifiers contradict each other says nothing (two members in one event).
2. What two values were seen together, and how well that is proved, is folded into one proof per pair.
3. A value is blocked, evidence, a hub, or may link; decided on raw pairs and never on persons, so that no circle
   and no arrival order enters. A showroom tablet seen with five phones is a hub and links nobody.
4. Pairs whose two ends may link are the links; what they connect is a component.
5. A component that keeps all limits is one person. One that does not is contested: its links are taken by rank, and
   each that would break a limit is refused, with its reason.

Limits are hereditary (what a set keeps, its subsets keep), so 5 is well defined: a component that keeps them would
have been joined link by link as well, and a refusal holds for all that its two sides become later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

from cdp.model import Identifier
from identity.kinds import Policy
from identity.observation import MAX_IDENTIFIERS, Observation, ObservationId, Proof, fold, strongest

Pair = tuple[Identifier, Identifier]
"""Two different identifiers, the smaller first."""


class State(StrEnum):
    """What a value may do: LINK people, or nothing of that kind because it is …"""

    LINK = "link"
    HUB = "hub"
    EVIDENCE = "evidence"
    BLOCKED = "blocked"


class Standing(NamedTuple):
    """A value's state and, unless it is LINK, the reason."""

    state: State
    reason: str = ""


class Refusal(NamedTuple):
    """A link that was not taken, as its two sides together would break `rule`."""

    a: Identifier
    b: Identifier
    rule: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """`persons` hold every value that may link and was observed, each in one person; hubs are persons of their own.

    `contradictions` are the observations that were left out, with the reason.
    """

    standings: Mapping[Identifier, Standing]
    persons: frozenset[frozenset[Identifier]]
    refusals: frozenset[Refusal]
    contradictions: Mapping[ObservationId, str]


def resolve(
    observations: Iterable[Observation], policy: Policy, *, blocked: Mapping[Identifier, str] | None = None
) -> Resolution:
    """Who is who by this evidence. `blocked` are values known to be unusable, beside those the policy blocks."""
    blocked = blocked or {}
    evidence = {each.id: each for each in observations}
    values = {value for each in evidence.values() for value in each.identifiers}
    base = {value: standing_of(value, policy, blocked.get(value)) for value in values}
    unusable = {value for value in values if base[value].state is State.BLOCKED}
    usable = {key: usable_of(each, unusable, policy) for key, each in evidence.items()}
    contradictions = {key: reason for key, met in usable.items() if (reason := contradiction(met, policy))}

    seen: dict[Pair, Proof] = {}
    for key, met in usable.items():
        if key not in contradictions:
            for pair in pairs_of(met):
                proof = Proof.of(evidence[key])
                seen[pair] = fold(seen[pair], proof) if pair in seen else proof

    standings = _with_hubs(base, seen, policy)
    linking = {value for value in values if standings[value].state is State.LINK}
    links = {pair: proof for pair, proof in seen.items() if linking.issuperset(pair)}
    persons = {frozenset([value]) for value, standing in standings.items() if standing.state is State.HUB}
    refusals: set[Refusal] = set()
    for component, its_links in _apart(components(linking, links), links):
        joined, refused = partition(component, its_links, policy)
        persons.update(joined)
        refusals.update(refused)
    return Resolution(standings, frozenset(persons), frozenset(refusals), contradictions)


def standing_of(value: Identifier, policy: Policy, unusable: str | None = None) -> Standing:
    """What a value is before anything was seen of it: all but a hub."""
    reason = unusable or policy.blocked(value.kind, value.value)
    if reason:
        return Standing(State.BLOCKED, reason)
    if not policy.links(value.kind):
        return Standing(State.EVIDENCE, f"{value.kind} is counted and never linked on")
    return Standing(State.LINK)


def usable_of(observation: Observation, unusable: Container[Identifier], policy: Policy) -> tuple[Identifier, ...]:
    """The identifiers of an observation that count: not blocked, and of very many only the strongest."""
    met = tuple({value: None for value in observation.identifiers if value not in unusable})
    return met if len(met) <= MAX_IDENTIFIERS else tuple(strongest(met, policy)[:MAX_IDENTIFIERS])


def contradiction(identifiers: Collection[Identifier], policy: Policy) -> str | None:
    """Why these cannot be one person's: two values of a kind of which a person has one; None where they can."""
    groups = Counter(policy.group(each.kind, each.value) for each in identifiers if policy.kind(each.kind).exclusive)
    twice = sorted(kind for (kind, _), count in groups.items() if count > 1)
    return f"two values of {twice[0]} in one observation" if twice else None


def pairs_of(identifiers: Iterable[Identifier]) -> Iterator[Pair]:
    """All pairs, not a star: whether a link stands then depends on its two ends only."""
    return combinations(sorted(identifiers), 2)


def hub_reason(kind: str, partners: Mapping[str, int], policy: Policy) -> str | None:
    """Why a value seen with so many different values by kind is a hub, or None. Monotone in the counts."""
    limits = policy.kind(kind).fan_out
    over = [other for other in sorted(limits) if partners.get(other, 0) > limits[other]]
    return "; ".join(f"seen with more than {limits[other]} values of {other}" for other in over) or None


def _with_hubs(
    base: Mapping[Identifier, Standing], seen: Mapping[Pair, Proof], policy: Policy
) -> dict[Identifier, Standing]:
    partners: dict[Identifier, Counter[str]] = {value: Counter() for value in base}
    for a, b in seen:
        partners[a][b.kind] += 1
        partners[b][a.kind] += 1
    standings = dict(base)
    for value, standing in base.items():
        reason = hub_reason(value.kind, partners[value], policy)
        if standing.state is State.LINK and reason:
            standings[value] = Standing(State.HUB, reason)
    return standings


def components(values: Iterable[Identifier], links: Iterable[Pair]) -> list[set[Identifier]]:
    """What the links connect, each value in one component."""
    of: dict[Identifier, set[Identifier]] = {value: {value} for value in values}
    for a, b in links:
        small, large = sorted((of[a], of[b]), key=len)
        if small is not large:
            large |= small
            of.update(dict.fromkeys(small, large))
    return list({id(component): component for component in of.values()}.values())


def _apart(
    found: list[set[Identifier]], links: Mapping[Pair, Proof]
) -> Iterator[tuple[set[Identifier], dict[Pair, Proof]]]:
    place = {value: n for n, component in enumerate(found) for value in component}
    own: list[dict[Pair, Proof]] = [{} for _ in found]
    for pair, proof in links.items():
        own[place[pair[0]]][pair] = proof
    return zip(found, own, strict=True)


def partition(
    component: Collection[Identifier], links: Mapping[Pair, Proof], policy: Policy
) -> tuple[list[frozenset[Identifier]], list[Refusal]]:
    """The persons of one component, and the links that were refused between them."""
    if broken_limit(counts_of(component, policy), len(component), policy) is None:
        return [frozenset(component)], []
    cluster = {value: _Cluster({value}, counts_of([value], policy)) for value in component}
    refusals = []
    for a, b in sorted(links, key=lambda pair: rank(pair, links[pair])):
        small, large = sorted((cluster[a], cluster[b]), key=lambda each: len(each.values))
        if small is large:
            continue
        rule = broken_limit(small.counts + large.counts, len(small.values) + len(large.values), policy)
        if rule:
            refusals.append(Refusal(a, b, rule))
            continue
        large.values |= small.values
        large.counts += small.counts
        cluster.update(dict.fromkeys(small.values, large))
    return list({frozenset(each.values) for each in cluster.values()}), refusals


def rank(pair: Pair, proof: Proof) -> tuple[int, int, Pair]:
    """Sorts links best first: stronger, then newer (a phone belongs to whom proved it last), then by the pair."""
    return -proof.strength, -proof.at, pair


Group = tuple[str, str]


def counts_of(values: Iterable[Identifier], policy: Policy) -> Counter[Group]:
    return Counter(policy.group(each.kind, each.value) for each in values)


def broken_limit(counts: Mapping[Group, int], size: int, policy: Policy) -> str | None:
    """The first limit that such a person would break, or None."""
    if size > policy.max_cluster:
        return f"more than {policy.max_cluster} identifiers"
    for group in sorted(counts):
        limit = policy.kind(group[0]).max_per_person
        if limit is not None and counts[group] > limit:
            return f"more than {limit} of {'/'.join(filter(None, group))}"
    return None


@dataclass(slots=True)
class _Cluster:
    values: set[Identifier]
    counts: Counter[Group]
