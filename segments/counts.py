"""Figures of what matches: which of them are counts, and what a test says of one that is known."""

from __future__ import annotations

import math
from typing import Any

from segments.tree import Aggregate, Fn, Op, Test

COUNTED = (Fn.COUNT, Fn.DISTINCT, Fn.PERIODS)
ZERO_OF_NOTHING = (*COUNTED, Fn.SUM)
BY_VALUE = (Fn.SUM, Fn.AVG, Fn.MIN, Fn.MAX)
CHOSEN = (Fn.FIRST, Fn.LAST, Fn.NTH)


def truth_of_nothing(agg: Aggregate, wanted: Test) -> bool:
    """The test's outcome where nothing matches: sums and counts are 0, the rest is missing."""
    return meets(wanted, 0) if agg.fn in ZERO_OF_NOTHING else wanted.op is Op.MISSING


def meets(wanted: Test, number: float) -> bool:
    """Whether a present number meets a test; other types in the definition are unequal to it."""
    op, value = wanted.op, wanted.value
    match op:
        case Op.EQ:
            return _same(value, number)
        case Op.NE:
            return not _same(value, number)
        case Op.IN:
            return any(_same(each, number) for each in value)
        case Op.NOT_IN:
            return not any(_same(each, number) for each in value)
        case Op.BETWEEN:
            low, high = value
            return _is_number(low) and _is_number(high) and bool(low <= number <= high)
        case Op.GT:
            return _is_number(value) and bool(number > value)
        case Op.GE:
            return _is_number(value) and bool(number >= value)
        case Op.LT:
            return _is_number(value) and bool(number < value)
        case Op.LE:
            return _is_number(value) and bool(number <= value)
    return op is Op.PRESENT


def breaks_of(wanted: Test) -> list[int]:
    """The counts from 1 on whose outcome differs from that of one less, in order."""
    values = wanted.value if isinstance(wanted.value, tuple) else (wanted.value,)
    near = {math.floor(each) + more for each in values if _is_number(each) for more in (0, 1)}
    return sorted(each for each in near if each >= 1 and meets(wanted, each) != meets(wanted, each - 1))


def _same(value: Any, number: float) -> bool:
    return _is_number(value) and bool(value == number)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
