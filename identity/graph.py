"""The port of the graph store: evidence as it came, and the conclusions that were drawn from it.

Evidence is observations, the pairs of values seen together, and the sets of identifiers that came with events.
Conclusions are the state and person of each value, and whose set is whose; they may be derived again at any time.
Values are numbered in the order of their birth, from 1; a person is named inside by the number of its oldest value.

One engine writes, one commit at a time; reads may come from any thread and see only whole commits. Every method may
block on disk or network and raises StoreUnavailable where the store is away; the same call may then be repeated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import Turn
from identity.observation import ObservationId, Proof
from identity.resolve import Refusal, State

PairKey = tuple[int, int]
"""The numbers of two values that were seen together, the smaller first."""


class Value(msgspec.Struct, gc=False):
    """One identifier. `pid` is the person id it would give; `person` and `component` are None where the value never
    links nor stands alone (blocked, evidence). A component that breaks a limit is `contested`: several persons.

    `partners` counts the different values seen together with this one, by those kinds that its fan-out limits name.
    `first_seen` and `last_seen` are of observations, None where there was none.
    """

    number: int
    pid: PersonId
    identifier: Identifier
    state: State = State.LINK
    reason: str = ""
    component: int | None = None
    person: int | None = None
    contested: bool = False
    partners: dict[str, int] = {}
    first_seen: Millis | None = None
    last_seen: Millis | None = None


class Head(NamedTuple):
    """`seq`: the last commit, 0 where there is none; `births`: the highest number of a value."""

    seq: int
    births: int


class Neighbourhood(NamedTuple):
    values: list[Value]
    pairs: dict[PairKey, Proof]


class StoredObservation(NamedTuple):
    """`set` names its identifiers; `refused` says why it is kept but links nothing, else ''."""

    id: ObservationId
    set: SetId
    strength: int
    occurred_at: Millis
    source: str
    refused: str


class StoredSet(NamedTuple):
    """`owner` is the number of the member whose person the set belongs to, None for nobody's; `members` in order."""

    id: SetId
    owner: int | None
    members: tuple[int, ...]


class StoredRefusal(NamedTuple):
    a: int
    b: int
    rule: str


class Whole(NamedTuple):
    """A person in one look: the id it has now, its values, and its sets with their members, sorted."""

    person: PersonId
    values: list[SeenValue]
    sets: dict[SetId, tuple[Identifier, ...]]


class SeenValue(NamedTuple):
    """`first_seen` and `last_seen` are of observations, None where there was none."""

    identifier: Identifier
    first_seen: Millis | None
    last_seen: Millis | None


class StoredTurn(NamedTuple):
    turn: Turn
    cause: ObservationId | None


@dataclass(slots=True)
class Commit:
    """Everything that one call of the engine changes, to be written whole or not at all.

    `seq` is the head's plus one. `moved` are values whose person is now another (born ones included): their open
    membership ends at `seq` and another begins. Refusals between any of `unsettled` give way to `refusals`.
    """

    seq: int
    at: Millis
    born: list[Value] = field(default_factory=list)
    changed: list[Value] = field(default_factory=list)
    moved: list[Value] = field(default_factory=list)
    observations: list[StoredObservation] = field(default_factory=list)
    new_pairs: dict[PairKey, Proof] = field(default_factory=dict)
    changed_pairs: dict[PairKey, Proof] = field(default_factory=dict)
    new_sets: list[StoredSet] = field(default_factory=list)
    owners: dict[SetId, int | None] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)
    refusals: list[StoredRefusal] = field(default_factory=list)
    turns: list[StoredTurn] = field(default_factory=list)


class Evidence(Protocol):
    """What the engine asks and tells. Numbers and ids that the store does not know are left out of its answers."""

    def head(self) -> Head:
        """Where the graph stands."""

    def known(self, observations: Collection[ObservationId]) -> set[ObservationId]:
        """Which of these are stored."""

    def values(self, pids: Collection[PersonId]) -> list[Value]:
        """The values with these pids, in no order; the caller may change what it gets."""

    def pairs(self, keys: Collection[PairKey]) -> dict[PairKey, Proof]:
        """The proofs of these pairs."""

    def neighbourhood(self, components: Collection[int], *, pairs: bool) -> Neighbourhood:
        """All values of these components and, where asked, all pairs with both ends among them."""

    def commit(self, commit: Commit) -> None:
        """Write all of it in one transaction; durable on return, and nothing of it where it raises.

        Raises GraphConflict when the head is no longer `seq` - 1: another engine writes, and this one must stop.
        """


class Sets(Protocol):
    """Whose the sets of identifiers are. Owners are values; so a merge changes no row here."""

    def members(self, sets: Collection[SetId]) -> dict[SetId, tuple[Identifier, ...]]:
        """The identifiers of each of these sets, sorted."""

    def persons(self, sets: Collection[SetId]) -> dict[SetId, PersonId | None]:
        """Whose each of these sets is now; None for nobody's."""

    def owned(self, owners: Collection[int]) -> dict[SetId, int]:
        """All sets that belong to these values, with their owner."""

    def moved_since(self, seq: int) -> set[SetId]:
        """Sets that were registered, or became another person's, in a commit after `seq`."""


class Persons(Protocol):
    """Reading persons, by the number of their oldest value."""

    def value(self, pid: PersonId) -> tuple[Value, PersonId | None] | None:
        """The value with this pid, and the person it belongs to now."""

    def whole(self, pid: PersonId) -> Whole | None:
        """The person that owns the value with this pid, in microseconds; None where there is none."""

    def identifiers(self, person: int) -> list[Value]:
        """Its values, oldest-born first."""

    def links(self, person: int) -> list[tuple[Identifier, Identifier, Proof]]:
        """The pairs within it that link, a < b, in no order."""

    def sets(self, person: int) -> list[SetId]:
        """All sets that are its now, in no order."""

    def history(self, values: Collection[int]) -> list[tuple[int, Millis, StoredTurn]]:
        """Merges, splits and moves (seq, at, what) that any of these names took part in, oldest first."""

    def refusals(self, values: Collection[int]) -> list[Refusal]:
        """The links that were refused at any of these values, a < b, in no order."""


class Graph(Evidence, Sets, Persons, Protocol):
    """A whole graph store."""

    def members_as_of(self, seq: int) -> dict[PersonId, set[Identifier]]:
        """Who was who after the commit `seq`."""

    def pids(self, numbers: Collection[int]) -> dict[int, PersonId]:
        """The pids of these values."""

    def probe(self) -> None:
        """A read through the store, for health checks."""

    def close(self) -> None:
        """Let go of everything. May be called twice."""
