"""What may be asked of the evaluator, and what it says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from cdp.model import Millis
from segments.known import Known
from segments.tree import Definition, Definitions, Leaf

Slice = tuple[str, str]
"""Units from the first up to the second, as text."""


class Verdicts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Of one unit, by the places of the definitions that were asked about: of which it is a member, in order, and the
    first moment at which each may be otherwise by time alone, where there is one.

    Of everybody these are millions, so they are no concern of the collector of garbage.
    """

    unit: str
    members: tuple[int, ...]
    nexts: dict[int, Millis]


@dataclass(frozen=True, slots=True)
class Preview:
    """`sample` are those of the smallest hashes, so the same as long as they are meant. `zero` and `missing` count, for
    each leaf, the units whose figure is zero or whose value is missing; `reach` and `channels` count members."""

    count: int
    sample: Sequence[str]
    zero: Sequence[int]
    missing: Sequence[int]
    reach: Mapping[str, int]
    channels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of 20 such intervals 19 hold the true count."""

    count: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class LeafTruth:
    """One leaf of one unit; `next` is when it changes if nothing more happens, None for never. `inside` explains the
    segment that the leaf names."""

    leaf: Leaf
    truth: bool
    next: Millis | None
    events: Sequence[str]
    inside: Explained | None = None


class Explained(NamedTuple):
    """`leaves` is None where the unit was not there yet."""

    definition: Definition
    leaves: Sequence[LeafTruth] | None


class Evaluates(Protocol):
    """The one evaluator: everything is a function of what has happened and of `now`."""

    def evaluate(
        self,
        definitions: Sequence[Definition],
        now: Millis,
        *,
        units: Collection[str] | None = None,
        part: Slice | None = None,
        others: Definitions = ...,
    ) -> Iterator[Verdicts]:
        """Of each unit, where something is to be said: that it is a member of one of these segments, or may become one.

        The definitions are about one entity. `units` limits to those, `part` to ids from the first up to the second, as
        text; `others` are the segments that `in` may name, by id. Raises StoreUnavailable.
        """


class Answers(Evaluates, Protocol):
    """What people ask besides. Leaves come in the order of `walk.leaves_of`."""

    def known(self, *, fresh: bool = False) -> Known: ...

    def preview(self, definition: Definition, now: Millis, others: Definitions) -> Preview: ...

    def estimate(self, definition: Definition, now: Millis, others: Definitions) -> Estimate: ...

    def overlap(
        self, definitions: Sequence[Definition], now: Millis, others: Definitions
    ) -> dict[frozenset[int], int]: ...

    def explain(
        self, definition: Definition, unit: str, now: Millis, others: Definitions
    ) -> Sequence[LeafTruth] | None: ...
