"""What an evaluator says of a unit, and what may be asked of one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from cdp.model import Millis
from segments.tree import Definition


class Verdict(NamedTuple):
    """`segment` is the place of the definition among those that were asked about; `next` the first moment at which it
    may be otherwise by time alone, None for never."""

    segment: int
    member: bool
    next: Millis | None


class Evaluates(Protocol):
    """The one evaluator: everything is a function of what has happened and of `now`."""

    def evaluate(
        self,
        definitions: Sequence[Definition],
        now: Millis,
        *,
        units: Collection[str] | None = None,
        part: tuple[str, str] | None = None,
        others: Mapping[str, Definition] = ...,
    ) -> Iterator[tuple[str, Sequence[Verdict]]]:
        """Each unit of which something is to be said: that it is a member of one of these segments, or may become one.

        The definitions are about one entity. `units` limits to those, `part` to ids from the first up to the second, as
        text; `others` are the segments that `in` may name, by id. Raises StoreUnavailable.
        """
