"""Bytes read as choices, the simplest first.

Drawing a world choice by choice takes Hypothesis longer than all else; a few byte strings cost nothing. They shrink as
well: smaller bytes, and bytes that are not there, mean simpler things.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    def __init__(self, data: bytes) -> None:
        self._left = iter(data)

    def below(self, count: int) -> int:
        """At most 256 of them."""
        return next(self._left, 0) % count

    def of(self, pool: Sequence[T]) -> T:
        return pool[self.below(len(pool))]

    def often(self, favourite: T, pool: Sequence[T]) -> T:
        return self.of(pool) if self.once_in(2) else favourite

    def once_in(self, times: int) -> bool:
        return self.below(times) == times - 1

    def some(self, pool: Sequence[T], *, least: int = 1, most: int = 2) -> tuple[T, ...]:
        """From different places of the pool, in the order of drawing."""
        drawn = (self.below(len(pool)) for _ in range(least + self.below(most - least + 1)))
        return tuple(pool[each] for each in dict.fromkeys(drawn))
