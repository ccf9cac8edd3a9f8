"""What a segment says of a person or a lead, worked out the slow way: every event looked at, every moment tried.

Written from the description of the language alone, so that the compiler can be held against it. It shares nothing
with the product but the types of the tree, knows no trick, and is only as fast as a test needs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from segments.tree import (
    Absent,
    Aggregate,
    All,
    Any_,
    Attr,
    Calendar,
    Definition,
    Did,
    Fixed,
    Fn,
    In,
    Not,
    Op,
    Prop,
    Rel,
    Rolling,
    Sample,
    Seq,
    Since,
    Step,
    Test,
)
from tests.oracle.history import Happened, History, Related, fold
from tests.oracle.values import (
    Millis,
    Moment,
    day_start,
    first_day,
    is_number,
    key,
    local,
    moment,
    passes,
    period,
    units_later,
)

Segments = Mapping[str, Definition]
Kept = Mapping[tuple[str, str], Millis]
"""Since when a unit has been a member without interruption, as recorded, by (segment, unit)."""
NOTHING_KEPT: Kept = {}


def truth(definition: Definition, unit: History, now: Millis, segments: Segments, kept: Kept = NOTHING_KEPT) -> bool:
    """Whether this unit is a member at `now`, by what had happened then."""
    return _member(_Look(definition, unit.until(now), now, segments, kept))


def next_change(
    definition: Definition, unit: History, now: Millis, segments: Segments, kept: Kept = NOTHING_KEPT
) -> Millis | None:
    """The first moment after `now` at which a leaf has another truth, if nothing more happens. The leaves of a segment
    that is named by `in` are leaves of this one."""
    if not unit.exists(now):
        return None
    look = _Look(definition, unit.until(now), now, segments, kept)
    changes = [_change(leaf, there) for leaf, there in _leaves(look)]
    return min((each for each in changes if each is not None), default=None)


@dataclass(frozen=True)
class _Look:
    """A clock that shows `now` looks back on a history. What the history holds is all that happened."""

    definition: Definition
    history: History
    now: Millis
    segments: Segments
    kept: Kept

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.definition.tz)

    def later(self, now: Millis) -> _Look:
        return dataclasses.replace(self, now=now)

    def at(self, segment: str) -> _Look:
        return dataclasses.replace(self, definition=self.segments[segment])


def _member(look: _Look) -> bool:
    universe, where = look.definition.universe, look.definition.where
    return look.history.exists(look.now) and _true(All((universe, where)), lambda leaf: _leaf(leaf, look))


def _true(condition: Any, leaf: Callable[[Any], bool]) -> bool:
    match condition:
        case All(parts):
            return all(_true(part, leaf) for part in parts)
        case Any_(parts):
            return any(_true(part, leaf) for part in parts)
        case Not(part):
            return not _true(part, leaf)
    return leaf(condition)


def _leaf(leaf: Any, look: _Look) -> bool:
    match leaf:
        case Attr(name, test):
            return _passes(test, look.history.get(name), look.history.get, look)
        case Did(step, window, agg, test):
            found = _aggregate(agg, _matches(step, look, window), look.tz)
            return any(_passes(test, each, None, look) for each in found)
        case Rel(_, where, agg, test):
            leads = [Related(each["created_at"], each) for each in look.history.leads]
            those = [each for each in leads if _filtered(where, each, look)]
            return any(_passes(test, each, None, look) for each in _aggregate(agg, those, look.tz))
        case Seq():
            return _sequence(leaf, look)
        case Absent():
            return _absent(leaf, look)
        case In():
            return _in(leaf, look)
        case Sample(salt, start, end):
            return start <= bucket(look.history.unit, salt) < end
    raise AssertionError(leaf)


def _passes(test: Test, value: Any, get: Callable[[str], Any] | None, look: _Look) -> bool:
    """`get` gives what a ref names."""
    other = get(test.ref) if test.ref and get else test.value
    return passes(test, value, other, look.now, look.tz)


# Matches and windows


def _matches(step: Step, look: _Look, window: Any = None) -> list[Happened]:
    """In the order of (at, id)."""
    return sorted(
        (each for each in look.history.events if _is(step, each, look) and _inside(window, each.at, look)),
        key=lambda each: (each.at, each.id),
    )


def _is(step: Step, event: Happened, look: _Look) -> bool:
    return (not step.names or event.name in step.names) and _filtered(step.where, event, look)


def _filtered(where: Any, thing: Happened | Related, look: _Look) -> bool:
    def leaf(prop: Prop) -> bool:
        return _passes(prop.test, thing.get(prop.name), thing.get, look)

    return _true(where, leaf)


def _inside(window: Any, at: Millis, look: _Look) -> bool:
    match window:
        case None:
            return True
        case Rolling(last, until):
            return look.now - last < at <= look.now - until
        case Calendar(unit, back, count):
            present = first_day(unit, local(look.now, look.tz).date())
            start, end = units_later(unit, present, -back), units_later(unit, present, count - back)
            return day_start(start, look.tz) <= at < day_start(end, look.tz)
        case Fixed(start, end):
            return start <= at and (end is None or at < end)
        case Since(_, _, _, length):
            since = _since(window, look)
            return since is not None and since <= at < since + length
    raise AssertionError(window)


def _since(window: Since, look: _Look) -> float | None:
    if window.step is None:
        return moment(look.history.get(window.attr), look.tz)
    moments = [each.at for each in _matches(window.step, look)]
    return (moments[0] if window.which == "first" else moments[-1]) if moments else None


def _aggregate(agg: Aggregate, things: Sequence[Happened | Related], tz: ZoneInfo) -> list[Any]:
    """Of things in their order. Those of one millisecond have none: all that may be the n-th are told."""
    place = {Fn.LAST: len(things), Fn.NTH: agg.n, Fn.FIRST: 1}.get(agg.fn, 0)
    if agg.of and 1 <= place <= len(things):
        return [each.get(agg.of) for each in things if each.at == things[place - 1].at]
    return [_figure(agg, things, tz)]


def _figure(agg: Aggregate, things: Sequence[Happened | Related], tz: ZoneInfo) -> Any:
    values = [value for each in things if agg.of and (value := each.get(agg.of)) is not None]
    numbers = [value for value in values if is_number(value)]
    match agg.fn:
        case Fn.COUNT:
            return len(things)
        case Fn.SUM:
            return sum(numbers)
        case Fn.AVG:
            return sum(numbers) / len(numbers) if numbers else None
        case Fn.MIN:
            return min(numbers, default=None)
        case Fn.MAX:
            return max(numbers, default=None)
        case Fn.DISTINCT:
            return len(set(map(key, values)))
        case Fn.PERIODS:
            return len({period(agg.period, each.at, tz) for each in things})
    place = {Fn.LAST: len(things), Fn.SINCE_LAST: len(things), Fn.NTH: agg.n}.get(agg.fn, 1)
    if not 1 <= place <= len(things):
        return None
    return Moment(things[place - 1].at)


# The other leaves


def _group(event: Happened, same: Sequence[str]) -> Any:
    """None where one of the values is missing."""
    values = [event.get(name) for name in same]
    return None if any(each is None for each in values) else tuple(map(key, values))


def _sequence(leaf: Seq, look: _Look) -> bool:
    matches = [_matches(step, look, leaf.window) for step in leaf.steps]

    def goes_on(before: list[Happened]) -> bool:
        """Whether what lies before can be the beginning of all steps."""
        if len(before) == len(matches):
            return True
        return any(_follows(leaf, before, each, look) and goes_on([*before, each]) for each in matches[len(before)])

    return goes_on([])


def _follows(leaf: Seq, before: Sequence[Happened], event: Happened, look: _Look) -> bool:
    group = _group(event, leaf.same)
    if not before or group is None:
        return group is not None
    first, previous, step = before[0], before[-1], leaf.steps[len(before)]
    between = [each.name for each in look.history.events if previous.at < each.at < event.at]
    return (
        previous.at < event.at
        and (step.gap is None or event.at - previous.at <= step.gap)
        and (leaf.within is None or event.at - first.at <= leaf.within)
        and group == _group(first, leaf.same)
        and not set(step.without).intersection(between)
    )


def _absent(leaf: Absent, look: _Look) -> bool:
    after = [(_group(each, leaf.same), each.at) for each in _matches(leaf.after, look)]
    came = [(_group(each, leaf.same), each.at) for each in _matches(leaf.absent, look)]
    newest = {group: at for group, at in after if group is not None}
    return any(
        at + leaf.wait <= look.now
        and (leaf.until is None or look.now < at + leaf.until)
        and not any(other == group and at < later for other, later in came)
        for group, at in newest.items()
    )


def _in(leaf: In, look: _Look) -> bool:
    if leaf.held is not None:
        since = look.kept.get((leaf.segment, look.history.unit))
        return since is not None and look.now - since >= leaf.held
    there = look.at(leaf.segment)
    if leaf.as_of is None:
        return _member(there)
    return _member(dataclasses.replace(there, history=look.history.until(leaf.as_of), now=leaf.as_of))


def bucket(unit: str, salt: str) -> float:
    return int.from_bytes(hashlib.md5(f"{salt}:{unit}".encode()).digest()[:8], "big") / 2**64


# When it changes by time alone


def _change(leaf: Any, look: _Look) -> Millis | None:
    present = _leaf(leaf, look)
    later = sorted({each for each in _candidates(leaf, look) if each > look.now})
    return next((each for each in later if _leaf(leaf, look.later(each)) != present), None)


def _leaves(look: _Look) -> Iterator[tuple[Any, _Look]]:
    for leaf in (*_conditions(look.definition.universe), *_conditions(look.definition.where)):
        if isinstance(leaf, In) and leaf.held is None and leaf.as_of is None:
            yield from _leaves(look.at(leaf.segment))
        else:
            yield leaf, look


def _conditions(condition: Any) -> Iterator[Any]:
    match condition:
        case All(parts) | Any_(parts):
            for part in parts:
                yield from _conditions(part)
        case Not(part):
            yield from _conditions(part)
        case _:
            yield condition


def _candidates(leaf: Any, look: _Look) -> Iterator[Millis]:
    """All moments at which the leaf could change, and more: every moment that is known or written anywhere, plus each
    duration of the leaf, and the millisecond after; and what a calendar does to each event."""
    nodes = list(_nodes(leaf))
    durations = {each for node in nodes for each in _durations(node) if each is not None}
    for known in _moments(look) if durations else ():
        for duration in durations:
            yield from (math.floor(known) + duration, math.floor(known) + duration + 1)
    for calendar in (node for node in nodes if isinstance(node, Calendar)):
        for event in look.history.events:
            first = first_day(calendar.unit, local(event.at, look.tz).date())
            for later in range(calendar.back + 2):
                yield day_start(units_later(calendar.unit, first, later), look.tz)


def _nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        for each in node:
            yield from _nodes(each)
    elif dataclasses.is_dataclass(node):
        yield node
        for each in dataclasses.fields(node):
            yield from _nodes(getattr(node, each.name))


def _durations(node: Any) -> tuple[int | None, ...]:
    match node:
        case Rolling(last, until):
            return last, until
        case Since(_, _, _, length):
            return (length,)
        case Absent(_, _, wait, until):
            return wait, until
        case In(_, held, _):
            return (held,)
        case Test(Op.OLDER | Op.NEWER, value):
            return (value,)
    return ()


def _moments(look: _Look) -> set[float]:
    def inside(value: Any) -> Iterator[float]:
        if (at := moment(value, look.tz)) is not None:
            yield at
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        for each in parts:
            yield from inside(each)

    history = look.history
    written = [each.properties for each in history.events] + [each.fields for each in history.events]
    written += [fold(history.traits), *history.leads, history.lead]
    return (
        {at for each in written for at in inside(each)} | {each.at for each in history.events} | set(look.kept.values())
    )
