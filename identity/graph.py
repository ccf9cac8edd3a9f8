"""The port of the graph store: evidence as it came, and the conclusions that were drawn from it.

Evidence is observations and the sets of identifiers that came with events. Conclusions are what each value may do,
how well each pair of nodes is proved, and whose each node is; they may be derived again at any time. Nodes are
numbered in the order of their birth, from 1; a person is named inside by the number of its oldest node.

One engine writes, one commit at a time; reads may come from any thread and process and see only whole commits. Every
method may block on disk or network and raises StoreUnavailable where the store is away; the same call may then be
repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from cdp.model import Identifier, Millis, PersonId, SetId
from identity.changes import Turn
from identity.observation import Node, Observation, ObservationId, Proof
from identity.ownership import Epoch
from identity.resolve import Ledger, Refusal, Standing, State

LEASE = "identity"
"""Names the lease of the one engine that writes, where several processes could."""

PairKey = tuple[int, int]
"""The numbers of two nodes that were seen together, the smaller first."""

NOTHING_SEEN = Ledger()
"""Of a value that came with no other yet."""


class Value(msgspec.Struct, gc=False):
    """One node: an identifier, or a later epoch of one that changed hands (`owner` says whose; '' for the first).

    `pid` is the person id it would give; `base` the number of the identifier's first node, which alone keeps what
    was seen of the identifier as a whole: `ledger`, `epochs`, `first_seen` and `last_seen` (of observations, None where
    there was none). `person` and `component` are None where the node neither links nor stands alone (blocked, evidence,
    past). A component that breaks a limit is `contested`: several persons. `parted`: some node must not join its
    person, or once must not.
    """

    number: int
    pid: PersonId
    identifier: Identifier
    base: int
    owner: str = ""
    state: State = State.LINK
    reason: str = ""
    component: int | None = None
    person: int | None = None
    contested: bool = False
    parted: bool = False
    ledger: Ledger = NOTHING_SEEN
    epochs: tuple[Epoch, ...] = ()
    first_seen: Millis | None = None
    last_seen: Millis | None = None

    @property
    def node(self) -> Node:
        return Node(self.identifier, self.owner)

    @property
    def standing(self) -> Standing:
        return Standing(self.state, self.reason, self.epochs)


class Head(NamedTuple):
    """`seq`: the last commit, 0 where there is none; `births`: the highest number of a value; `forgot`: the last
    commit that forgot anything, so that some sets have no longer the members that they were registered with."""

    seq: int
    births: int
    forgot: int = 0


class Neighbourhood(NamedTuple):
    values: list[Value]
    pairs: dict[PairKey, Proof]


class StoredObservation(NamedTuple):
    """`set` names its identifiers; `refused` says why it is kept but links nothing, else ''; `retracted` why and by
    whom it was taken back, '' while it counts."""

    id: ObservationId
    set: SetId
    strength: int
    occurred_at: Millis
    source: str
    different: bool
    note: str
    refused: str
    retracted: str = ""


class StoredSet(NamedTuple):
    """`members` are the numbers of its identifiers' first nodes, in order."""

    id: SetId
    members: tuple[int, ...]


class SetMember(NamedTuple):
    """One identifier of a set, what it may do, and whose its first node is now."""

    identifier: Identifier
    state: State
    epochs: tuple[Epoch, ...]
    person: PersonId | None


class StoredRefusal(NamedTuple):
    a: int
    b: int
    rule: str


class Whole(NamedTuple):
    """A person in one look: the id it has now, its nodes oldest-born first, and all sets with any of their
    identifiers, each with its members."""

    person: PersonId
    values: list[SeenValue]
    sets: dict[SetId, list[SetMember]]


class SeenValue(NamedTuple):
    """A node with the times of its identifier's observations, None where there was none; `epochs` stand with the first
    node alone."""

    identifier: Identifier
    owner: str
    first_seen: Millis | None
    last_seen: Millis | None
    epochs: tuple[Epoch, ...]

    @property
    def node(self) -> Node:
        return Node(self.identifier, self.owner)


class StoredTurn(NamedTuple):
    turn: Turn
    cause: ObservationId | None


@dataclass(slots=True)
class Commit:
    """Everything that one call of the engine changes, to be written whole or not at all.

    `seq` is the head's plus one. `moved` are nodes whose person or standing is now another (born ones included):
    their open membership ends at `seq` and another begins where they have a person. Refusals between any of
    `unsettled` give way to `refusals`. `retracted` gives the note of each observation that no longer counts. Those of
    `new_sets` that are `renewed` were there before, with members that are forgotten, and have the new ones instead.
    `forgotten` are nodes whose identifier, pid and owner are overwritten besides, so that nothing is left of them but
    their number; `unsaid` are observations whose note is overwritten, and that of their retraction by this one.
    `policy` names the rules that the conclusions follow from now on, None for the same as before.
    """

    seq: int
    at: Millis
    born: list[Value] = field(default_factory=list)
    changed: list[Value] = field(default_factory=list)
    moved: list[Value] = field(default_factory=list)
    observations: list[StoredObservation] = field(default_factory=list)
    retracted: dict[ObservationId, str] = field(default_factory=dict)
    new_pairs: dict[PairKey, Proof] = field(default_factory=dict)
    changed_pairs: dict[PairKey, Proof] = field(default_factory=dict)
    dropped_pairs: set[PairKey] = field(default_factory=set)
    new_sets: list[StoredSet] = field(default_factory=list)
    renewed: set[SetId] = field(default_factory=set)
    unsettled: set[int] = field(default_factory=set)
    refusals: list[StoredRefusal] = field(default_factory=list)
    turns: list[StoredTurn] = field(default_factory=list)
    forgotten: list[Value] = field(default_factory=list)
    unsaid: dict[ObservationId, str] = field(default_factory=dict)
    policy: str | None = None


class Evidence(Protocol):
    """What the engine asks and tells. Numbers and ids that the store does not know are left out of its answers."""

    def head(self) -> Head:
        """Where the graph stands. Of its last commit nothing is missing to whoever reads after this returned."""

    def known(self, observations: Collection[ObservationId]) -> set[ObservationId]:
        """Which of these are stored, retracted ones included."""

    def observations(self, ids: Collection[ObservationId]) -> list[tuple[Observation, str]]:
        """These observations and why each was retracted ('' while it counts), in no order."""

    def mentioning(self, bases: Collection[int]) -> list[Observation]:
        """All observations that count and mention any of these identifiers, each once, in no order."""

    def values(self, pids: Collection[PersonId]) -> list[Value]:
        """The values with these pids, in no order; the caller may change what it gets."""

    def pairs(self, keys: Collection[PairKey]) -> dict[PairKey, Proof]:
        """The proofs of these pairs."""

    def pairs_at(self, numbers: Collection[int]) -> dict[PairKey, Proof]:
        """All pairs with an end among these nodes."""

    def neighbourhood(self, components: Collection[int], *, pairs: bool) -> Neighbourhood:
        """All values of these components and, where asked, all pairs with both ends among them."""

    def commit(self, commit: Commit) -> None:
        """Write all of it in one transaction; durable on return, and nothing of it where it raises.

        Raises GraphConflict when the head is no longer `seq` - 1: another engine writes, and this one must look again.
        LeaseLost, at the latest when it has looked again, where another has fenced the graph with a higher token.
        """

    def fence(self, token: int) -> None:
        """From now on take commits only of those whose token is as high. Whoever has a lower one is cut off in what it
        has begun. A graph that was opened without a token is not asked for one.

        Durable on return, and may add an empty commit. Raises LeaseLost where there is a higher one, GraphConflict
        where another committed just now.
        """


class Sets(Protocol):
    """Which identifiers came together. Whose a set is follows from them, so a merge changes no row here."""

    def members(self, sets: Collection[SetId]) -> dict[SetId, list[SetMember]]:
        """The identifiers of each of these sets, sorted."""

    def holding(self, bases: Collection[int]) -> set[SetId]:
        """All sets that hold any of these identifiers."""

    def moved_since(self, seq: int) -> set[SetId]:
        """Sets that hold a node which moved (see `Commit.moved`) in a commit after `seq`."""


class Persons(Protocol):
    """Reading persons, by the number of their oldest value."""

    def value(self, pid: PersonId) -> tuple[Value, PersonId | None] | None:
        """The value with this pid, and the person it belongs to now; a past epoch is its identifier's first node's."""

    def whole(self, pid: PersonId) -> Whole | None:
        """The person that owns the value with this pid, in microseconds; None where there is none."""

    def identifiers(self, person: int) -> list[Value]:
        """Its values, oldest-born first."""

    def links(self, person: int) -> list[tuple[Node, Node, Proof]]:
        """The pairs within it that link, a < b, in no order."""

    def history(self, values: Collection[int]) -> list[tuple[int, Millis, StoredTurn]]:
        """Merges, splits and moves (seq, at, what) that any of these names took part in, oldest first."""

    def turns_since(self, seq: int, limit: int) -> list[tuple[int, Millis, StoredTurn]]:
        """What happened to persons after commit `seq`, oldest first; whole commits, of `limit` turns or a few more."""

    def refusals(self, values: Collection[int]) -> list[Refusal]:
        """The links that were refused at any of these values, a < b, in no order."""


class Graph(Evidence, Sets, Persons, Protocol):
    """A whole graph store."""

    def every_observation(self) -> Iterator[Observation]:
        """All observations that count, in no order; what is committed meanwhile may or may not come."""

    def every_set(self) -> Iterator[SetId]:
        """All sets that were registered, in order; what is committed meanwhile may or may not come."""

    def every_value(self) -> list[Value]:
        """All values, in the order of their birth."""

    def every_pair(self) -> dict[PairKey, Proof]:
        """All pairs."""

    def every_refusal(self) -> set[StoredRefusal]:
        """All refusals."""

    def notes(self, source: str) -> list[tuple[Observation, str]]:
        """The observations of one source, newest first, as `observations` gives them."""

    def policy(self) -> str:
        """The name of the rules that the conclusions follow, '' for none."""

    def seq_at(self, at: Millis) -> int:
        """The last commit at or before that moment of our own clock, 0 for none."""

    def members_as_of(self, seq: int) -> dict[PersonId, set[Node]]:
        """Who was who after the commit `seq`."""

    def person_as_of(self, pid: PersonId, seq: int) -> tuple[PersonId, set[Node]] | None:
        """The person that owned the value with this pid after the commit `seq`, and its nodes then."""

    def pids(self, numbers: Collection[int]) -> dict[int, PersonId]:
        """The pids of these values."""

    def probe(self) -> None:
        """A read through the store, for health checks."""

    def close(self) -> None:
        """Let go of everything. May be called twice."""
