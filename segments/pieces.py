"""Everybody in pieces: some segments and a slice of the units at a time, as much as the engine answers in good time.

What it refuses is asked in halves, of the segments first and then of the slice. So one segment that asks too much is
found, and keeps none of the others waiting.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

from segments.book import Segment
from segments.tree import Entity
from segments.verdict import Slice

VERDICTS_AT_ONCE = 500_000
"""Of a piece: what is looked at lies in memory until it is compared."""
PIECE_S = 20.0
"""The engine gives up after some minutes, and whoever waits for a round waits for a piece."""
FINEST = 16**4 // 256
"""Of the numbers that the first four digits of a unit make."""

_DIGITS = "0123456789abcdef"
_STARTS = {Entity.PERSON: "", Entity.LEAD: "ld_"}


class Unanswered(Exception):
    """The engine is there and does not answer this question."""


class Found(Protocol):
    @property
    def verdicts(self) -> int:
        """How many were compared."""


F = TypeVar("F", bound=Found)


class Piece(NamedTuple):
    """Segments about one entity, and a slice of its units."""

    segments: Sequence[Segment]
    part: Slice

    def halves(self) -> list[Piece]:
        """[] where it is as small as can be."""
        if len(self.segments) > 1:
            half = len(self.segments) // 2
            return [Piece(self.segments[:half], self.part), Piece(self.segments[half:], self.part)]
        start = _STARTS[self.segments[0].definition.entity]
        low, high = (_number(each.removeprefix(start)) for each in self.part)
        if high - low <= FINEST:
            return []
        middle = f"{start}{(low + high) // 2:04x}"
        return [Piece(self.segments, (self.part[0], middle)), Piece(self.segments, (middle, self.part[1]))]


def slices(entity: Entity) -> list[Slice]:
    """All units of an entity, in sixteen parts of about the same size."""
    start = _STARTS[entity]
    bounds = [start, *(start + digit for digit in _DIGITS[1:]), start + "g"]
    return list(pairwise(bounds))


def piecewise(
    segments: Sequence[Segment], look: Callable[[Piece], F], refuse: Callable[[Segment, str], None]
) -> Iterator[F | None]:
    """What a look found at each piece of everybody; None where one was refused, which goes on in halves. A segment of
    which the smallest piece is refused is given to `refuse`, and left out from then on."""
    first, *rest = slices(segments[0].definition.entity)
    waiting = deque([Piece(segments, first)])
    refused: set[int] = set()
    while waiting:
        piece = waiting.popleft()
        piece = piece._replace(segments=[each for each in piece.segments if each.n not in refused])
        if not piece.segments:
            continue
        began = time.monotonic()
        found, halves = None, []
        try:
            found = look(piece)
        except Unanswered as error:
            halves = piece.halves()
            if not halves:
                refused.add(piece.segments[0].n)
                refuse(piece.segments[0], str(error))
        if rest:
            parts = joined(rest, found.verdicts, time.monotonic() - began) if found is not None else rest
            waiting.extend(Piece(segments, part) for part in parts)
            rest = []
        waiting.extendleft(reversed(halves))
        yield found


def joined(parts: Sequence[Slice], verdicts: int, seconds: float) -> Iterable[Slice]:
    """The same units in fewer parts, where one of these holds so many verdicts and takes so long: each costs a look at
    everything."""
    together = max(1, int(min(VERDICTS_AT_ONCE / max(1, verdicts), PIECE_S / max(seconds, 0.001))))
    groups = [parts[start : start + together] for start in range(0, len(parts), together)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _number(bound: str) -> int:
    return 16**4 if bound == "g" else int(f"{bound:0<4}"[:4], 16)
