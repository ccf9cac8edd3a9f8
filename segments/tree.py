"""What a segment says, as a tree: conditions about a unit (a person or a lead) at a moment.

Three connectives and the leaves of the language. Trees are values: equal trees mean the same, and `segments.normal`
makes those that mean the same equal. Durations and moments are milliseconds; moments are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from cdp.model import Millis

Duration: TypeAlias = int
"""Milliseconds."""
Scalar: TypeAlias = str | int | float | bool


class Entity(StrEnum):
    """What a segment is about."""

    PERSON = "person"
    LEAD = "lead"


class Op(StrEnum):
    EQ = "="
    NE = "!="
    IN = "in"
    NOT_IN = "not_in"
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS = "starts"
    MATCHES = "matches"
    MISSING = "missing"
    PRESENT = "present"
    OLDER = "older_than"
    NEWER = "newer_than"


class Fn(StrEnum):
    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"
    PERIODS = "distinct_periods"
    FIRST = "first"
    LAST = "last"
    NTH = "nth"
    SINCE_FIRST = "since_first"
    SINCE_LAST = "since_last"


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 -- typing has the other
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Any


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of a value that may be missing. `value` is a scalar, a tuple for IN, NOT_IN and BETWEEN, a Duration
    for OLDER and NEWER, None where `ref` names the other side or nothing is needed."""

    op: Op
    value: Any = None
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Prop:
    """Of the event or object at hand."""

    name: str
    test: Test


Filter: TypeAlias = All | Any_ | Not | Prop


@dataclass(frozen=True, slots=True)
class Attr:
    """Of the unit."""

    name: str
    test: Test


@dataclass(frozen=True, slots=True)
class Rolling:
    """(now - last, now - until]."""

    last: Duration
    until: Duration = 0


@dataclass(frozen=True, slots=True)
class Calendar:
    """`count` units of the segment's calendar, the first of them `back` units before the present one."""

    unit: str
    back: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Fixed:
    """[start, end)."""

    start: Millis
    end: Millis | None = None


@dataclass(frozen=True, slots=True)
class Since:
    """[m, m + length), m being the moment that an attribute holds, or that of the first or last match of a step."""

    attr: str
    step: Step | None
    which: str
    length: Duration


Window: TypeAlias = Rolling | Calendar | Fixed | Since


@dataclass(frozen=True, slots=True)
class Step:
    """Which events are meant; no names for any. `gap` and `without` are about the step before it in a sequence."""

    names: tuple[str, ...]
    where: Filter = All()
    gap: Duration | None = None
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    fn: Fn = Fn.COUNT
    of: str = ""
    n: int = 0
    period: str = ""


@dataclass(frozen=True, slots=True)
class Did:
    step: Step
    window: Window | None
    agg: Aggregate
    test: Test


@dataclass(frozen=True, slots=True)
class Seq:
    steps: tuple[Step, ...]
    within: Duration | None = None
    same: tuple[str, ...] = ()
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """Since the newest match of `after`, `wait` has passed, `until` has not, and no match of `absent` came."""

    after: Step
    absent: Step
    wait: Duration
    until: Duration | None = None
    same: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class In:
    """A member of another segment now, at the moment `as_of`, or without interruption for `held`."""

    segment: str
    held: Duration | None = None
    as_of: Millis | None = None


@dataclass(frozen=True, slots=True)
class Rel:
    rel: str
    where: Filter
    agg: Aggregate
    test: Test


@dataclass(frozen=True, slots=True)
class Sample:
    salt: str
    start: float
    end: float


Leaf: TypeAlias = Attr | Did | Seq | Absent | In | Rel | Sample
Condition: TypeAlias = All | Any_ | Not | Leaf


@dataclass(frozen=True, slots=True)
class Definition:
    """`tz` is the time zone of calendars and plain dates."""

    entity: Entity
    tz: str
    where: Condition
    universe: Condition = All()


Definitions: TypeAlias = Mapping[str, Definition]
"""The segments that a definition may name, by id."""
