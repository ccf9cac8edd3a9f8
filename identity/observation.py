"""Observations: which identifiers met, when, and how well that proves that they are one person's.

A stream repeats itself: the same login, the same visitor and device on every page. So what a stream says is kept
once per day, as an assertion-day whose time is the beginning of its UTC day; a repeat adds nothing, and which of the
repeats came first cannot matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, NewType

import msgspec

from cdp.model import DAY_MS, Fact, Identifier, Millis, PersonId, SetId, Trust
from identity.kinds import Policy

ObservationId = NewType("ObservationId", int)
"""63 bits of a hash of what makes the observation this one, so that a copy of it changes nothing."""

MAX_IDENTIFIERS = 12
"""Of one observation; of more the strongest count. Pairs grow with the square."""
CACHED = 131_072

STEWARD, STEWARDS = 9, "steward"
"""The strength of a steward's word, and the source that it comes from."""
PROVEN_LOGIN = 5
STRENGTHS = {
    (Fact.LOGIN, Trust.SERVER): 5,
    (Fact.LOGIN, Trust.PUBLIC): 4,
    (Fact.FORM, Trust.SERVER): 3,  # a row of a CRM, an order or a file
    (Fact.FORM, Trust.PUBLIC): 2,
    (Fact.CO_OCCURRENCE, Trust.SERVER): 1,
    (Fact.CO_OCCURRENCE, Trust.PUBLIC): 1,
}


def strength_of(fact: Fact, trust: Trust, proven: bool = False) -> int:
    """The class of proof, 1 to 5; `proven` says that the identify carried a valid signature of the team's server."""
    return PROVEN_LOGIN if proven and fact is Fact.LOGIN else STRENGTHS[fact, trust]


class Observation(msgspec.Struct, frozen=True, gc=False):
    """Identifiers that met in one event or one row, such as all those of one login.

    `strength` is the class of proof (9 steward … 1 co-occurrence); `occurred_at` is UTC and the event's own time, or
    the beginning of its day, so that a replay yields the same links. `id` names the content: two observations with
    one id are one. `different` turns it round: no two of its identifiers are one person's. `note` is for people.
    """

    id: ObservationId
    identifiers: tuple[Identifier, ...]
    strength: int
    occurred_at: Millis
    source: str = ""
    different: bool = False
    note: str = ""


class Node(NamedTuple):
    """What links join: an identifier, in that part of its life which began when `owner` proved it ('' the first)."""

    identifier: Identifier
    owner: str = ""


class Proof(NamedTuple):
    """What all observations of one pair say together: the strongest, and among those the latest.

    `since` is the first time at that strength, `at` the last, `observation` the one of that last time. `apart` is the
    best strength of those that call the two different; with `strength` 0 nothing else is known of the pair.
    """

    strength: int
    at: Millis
    since: Millis
    observation: ObservationId
    apart: int = 0

    @classmethod
    def of(cls, observation: Observation) -> Proof:
        strength, apart = (0, observation.strength) if observation.different else (observation.strength, 0)
        return cls(strength, observation.occurred_at, observation.occurred_at, observation.id, apart)

    @property
    def links(self) -> bool:
        return self.strength > 0

    @property
    def parts(self) -> bool:
        """Whether the two must not be one person: said as well as anything that joins them directly, or better."""
        return 0 < self.apart >= self.strength


def fold(one: Proof, other: Proof) -> Proof:
    """Both proofs as one. Commutative, associative and idempotent, so that no order or repeat of evidence matters."""
    apart = max(one.apart, other.apart)
    if one.strength != other.strength:
        return max(one, other)._replace(apart=apart)
    best = max(one, other, key=lambda proof: (proof.at, -proof.observation))
    return Proof(one.strength, best.at, min(one.since, other.since), best.observation, apart)


class Link(NamedTuple):
    """Two nodes of one person, a < b, and the best proof that they are."""

    a: Node
    b: Node
    proof: Proof


@lru_cache(CACHED)
def assertion(
    policy: Policy, source: str, identifiers: tuple[Identifier, ...], strength: int, day: int
) -> Observation | None:
    """What a stream says on one day (days since 1970 in UTC); None where it says nothing that could join.

    `identifiers` are the usable ones of an event: neither invalid nor blocked. Kinds that change no conclusion are
    left out.
    """
    kept = tuple(sorted({each for each in identifiers if policy.counts(each.kind)}))
    if len(kept) < 2 or not any(policy.links(each.kind) for each in kept):
        return None
    identity = f"{source}\0{strength}\0{set_id(kept)}\0{day}"
    return Observation(observation_id(identity), kept, strength, day * DAY_MS, source)


def observation_id(text: str) -> ObservationId:
    """The id for an observation that brings a name of its own, or for what makes it this one."""
    return ObservationId(_hash63(text))


def row_observation_id(origin: str, event: str, index: int) -> ObservationId:
    """The id of what a row of a file says: of the import `origin`, and the n-th that the row's event says."""
    return observation_id(f"{origin}\0{event}\0{index}")


@lru_cache(CACHED)
def set_id(identifiers: tuple[Identifier, ...]) -> SetId:
    """Names a set of identifiers; their order and repeats do not matter. Positive, 63 bits."""
    return SetId(_hash63("\0".join(f"{each.kind}\0{each.value}" for each in sorted(set(identifiers)))))


def pid(identifier: Identifier, owner: str = "") -> PersonId:
    """The person id that this node gives to whoever it belongs to, should it be the first-born of that person's."""
    text = f"{identifier.kind}\0{identifier.value}" + (f"\0{owner}" if owner else "")
    name = blake2b(text.encode(errors="surrogatepass"), digest_size=16, person=b"person").hexdigest()
    # As a UUID of version 8, which is for hashes of one's own choice (RFC 9562).
    return PersonId(f"{name[:8]}-{name[8:12]}-8{name[13:16]}-8{name[17:20]}-{name[20:]}")


def strongest(identifiers: Iterable[Identifier], policy: Policy) -> list[Identifier]:
    """Each once, by priority of its kind and then by itself, so that the same set has the same order for all."""
    return sorted(set(identifiers), key=lambda each: (-policy.kind(each.kind).priority, each))


def _hash63(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()) >> 1
