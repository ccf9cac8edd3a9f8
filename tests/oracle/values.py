"""What a value is, when two are equal, and how moments and calendars are read: the words of `tests.oracle.segments`.

A missing value is None, as null and absent are one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from segments.tree import Op, Test

Millis = int
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
FURTHEST = 10**15
"""Numbers beyond it are no moments."""


class Moment(NamedTuple):
    """A value that is a moment by its nature, not by how it is written."""

    at: Millis


def key(value: Any) -> Any:
    """Equal for equal values: 1 is 1.0, and neither True nor "1"."""
    match value:
        case bool():
            return "boolean", value
        case int() | float():
            return "number", value
        case str():
            return "string", value
        case list():
            return "list", tuple(map(key, value))
        case dict():
            return "object", frozenset((name, key(each)) for name, each in value.items())
    return "null", None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def moment(value: Any, tz: ZoneInfo) -> float | None:
    """Milliseconds of what may be read as a moment."""
    if isinstance(value, Moment):
        return value.at
    if is_number(value):
        return value if abs(value) <= FURTHEST else None
    if not isinstance(value, str):
        return None
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return day_start(date.fromisoformat(value), tz)
        if re.fullmatch(r"[0-9-]{10}[Tt][0-9:]{8}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", value):
            return (datetime.fromisoformat(value.upper()) - EPOCH) // MS
    except (ValueError, OverflowError):
        pass
    return None


def passes(test: Test, value: Any, other: Any, now: Millis, tz: ZoneInfo) -> bool:
    """`other` is what the test compares with: its value, or what its ref holds."""
    if test.op is Op.MISSING:
        return value is None
    if value is None:
        return False
    if test.op is Op.PRESENT:
        return True
    if test.op in (Op.OLDER, Op.NEWER):
        at = moment(value, tz)
        return at is not None and (now - at > test.value if test.op is Op.OLDER else now - at <= test.value)
    if isinstance(value, Moment) or isinstance(other, Moment):
        value = moment(value, tz)
        other = tuple(moment(each, tz) for each in other) if test.op is Op.BETWEEN else moment(other, tz)
    if value is None or other is None:
        return False
    return _compares(test.op, value, other)


def _compares(op: Op, value: Any, other: Any) -> bool:
    texts = isinstance(value, str) and isinstance(other, str)
    match op:
        case Op.EQ:
            return key(value) == key(other)
        case Op.NE:
            return key(value) != key(other)
        case Op.IN:
            return key(value) in map(key, other)
        case Op.NOT_IN:
            return key(value) not in map(key, other)
        case Op.BETWEEN:
            return _compares(Op.GE, value, other[0]) and _compares(Op.LE, value, other[1])
        case Op.CONTAINS if isinstance(value, list):
            return key(other) in map(key, value)
        case Op.CONTAINS:
            return texts and other in value
        case Op.STARTS:
            return texts and value.startswith(other)
        case Op.MATCHES:
            return texts and re.search(other, value, re.ASCII) is not None
    if not texts and not (is_number(value) and is_number(other)):
        return False
    return {Op.GT: value > other, Op.GE: value >= other, Op.LT: value < other, Op.LE: value <= other}[op]


def found(holder: Any, name: str) -> Any:
    """What a name with dots means: a whole name, else one object in another. An object itself is no value."""
    if not isinstance(holder, Mapping):
        return None
    if holder.get(name) is not None and not isinstance(holder[name], Mapping):
        return holder[name]
    dots = [each.start() for each in re.finditer(r"\.", name)]
    ways = (found(holder.get(name[:dot]), name[dot + 1 :]) for dot in dots)
    return next((value for value in ways if value is not None), None)


# Calendars


def local(at: Millis, tz: ZoneInfo) -> datetime:
    return (EPOCH + timedelta(milliseconds=at)).astimezone(tz)


@cache
def day_start(day: date, tz: ZoneInfo) -> Millis:
    """Midnight, the first of two; where the clock jumps over it, the moment of the jump."""
    return (datetime.combine(day, time(), tz) - EPOCH) // MS


def first_day(unit: str, day: date) -> date:
    """The first day of the unit that holds this day."""
    match unit:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            return day.replace(month=1, day=1)
    return day


def units_later(unit: str, first: date, count: int) -> date:
    """The first day of the unit that lies so many after the one that begins on `first`."""
    if unit in ("day", "week"):
        return first + timedelta(days=count * (7 if unit == "week" else 1))
    months = first.year * 12 + first.month - 1 + count * {"month": 1, "quarter": 3, "year": 12}[unit]
    return date(months // 12, months % 12 + 1, 1)


def period(unit: str, at: Millis, tz: ZoneInfo) -> Any:
    """The hour, day, week or month that the clock on the wall shows."""
    here = local(at, tz)
    return (here.date(), here.hour) if unit == "hour" else first_day(unit, here.date())
