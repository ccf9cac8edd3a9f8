"""One look at some units and some segments: what the evaluator says, beside what is stored of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection

from cdp.model import Millis
from segments import stays, timers
from segments.book import Segment
from segments.stays import Members
from segments.timers import Timer, Timers
from segments.tree import Entity
from segments.verdict import Evaluates, Verdict

Slice = tuple[str, str]
"""Units from the first up to the second, as text."""

UNITS_AT_ONCE = 5_000
VERDICTS_AT_ONCE = 500_000
"""Of a slice: what is looked at lies in memory until it is compared."""

_DIGITS = "0123456789abcdef"
_STARTS = {Entity.PERSON: "", Entity.LEAD: "ld_"}


def slices(entity: Entity) -> list[Slice]:
    """All units of an entity, in sixteen parts of about the same size."""
    start = _STARTS[entity]
    bounds = [start, *(start + digit for digit in _DIGITS[1:]), start + "g"]
    return list(pairwise(bounds))


def joined(parts: Sequence[Slice], verdicts: int) -> list[Slice]:
    """The same units in fewer parts, where one of these holds so many verdicts: each costs a look at everything."""
    together = max(1, VERDICTS_AT_ONCE // max(1, verdicts))
    groups = [parts[start : start + together] for start in range(0, len(parts), together)]
    return [(group[0][0], group[-1][1]) for group in groups]


class Look(NamedTuple):
    """`units` are all that were looked at; of those without verdicts there is nothing to be said."""

    segments: Sequence[Segment]
    units: Collection[str]
    verdicts: Mapping[str, Sequence[Verdict]]


class Flip(NamedTuple):
    """A unit is in a segment that it was not in, or the other way round. `since` is when it had come in; `timer` the
    one of this segment whose moment had come."""

    segment: Segment
    unit: str
    entered: bool
    since: Millis
    timer: Timer | None


class Standing:
    """What is stored of some units, kept up with what looks at them find; of timers, what is to be written anew.
    `verdicts` counts what was compared."""

    def __init__(self, members: Members, stored: dict[str, Timers]) -> None:
        self.members, self.timers = members, stored
        self.renewed: dict[str, Timers] = {}
        self.flips: dict[tuple[int, str], Flip] = {}
        self.verdicts = 0

    @classmethod
    def of_units(cls, connection: Connection, units: Collection[str]) -> Standing:
        return cls(stays.members_among(connection, units), timers.timers_among(connection, units))

    @classmethod
    def of_slice(cls, connection: Connection, segments: Iterable[Segment], part: Slice) -> Standing:
        members = stays.members_between(connection, [each.n for each in segments], *part)
        return cls(members, timers.timers_between(connection, *part))

    def known(self, now: Millis) -> set[str]:
        """Who is in any of the segments, or has a timer whose moment has come: to be looked at, whatever is said."""
        fired = {unit for unit, of_unit in self.timers.items() if any(each.at <= now for each in of_unit.values())}
        return fired.union(self.members)

    def forget(self, units: Iterable[str]) -> None:
        """Of these no timer is to be left that nobody finds again."""
        for unit in units:
            if self.timers.get(unit):
                self.timers[unit] = self.renewed[unit] = {}

    def keep(self, segments: frozenset[int]) -> None:
        """Leave out the timers of segments that there are no more."""
        for unit, of_unit in self.timers.items():
            if not segments.issuperset(of_unit):
                self.renewed[unit] = {n: timer for n, timer in of_unit.items() if n in segments}
        self.timers |= self.renewed

    def compare(self, look: Look, now: Millis) -> None:
        """Take over what a look at `now` found."""
        numbers = {segment.n: segment for segment in look.segments}
        self.verdicts += len(look.units) * len(numbers)
        for unit in look.units:
            verdicts = look.verdicts.get(unit, ())
            inside = {look.segments[each.segment].n for each in verdicts if each.member}
            nexts = {look.segments[each.segment].n: each.next for each in verdicts if each.next is not None}
            was, old = self.members.setdefault(unit, {}), self.timers.get(unit, {})
            for n in inside ^ (was.keys() & numbers.keys()):
                self._flip(numbers[n], unit, n in inside, was, old.get(n), now)
            looked = nexts.keys() | (old.keys() & numbers.keys())
            new = timers.renewed(old, looked, nexts, now) if looked else None
            if new is not None:
                self.timers[unit] = self.renewed[unit] = new

    def _flip(
        self, segment: Segment, unit: str, entered: bool, was: dict[int, Millis], timer: Timer | None, now: Millis
    ) -> None:
        key = (segment.n, unit)
        since = now if entered else was.pop(segment.n)
        if entered:
            was[segment.n] = now
        if self.flips.pop(key, None) is None:
            fired = timer if timer is not None and timer.at <= now else None
            self.flips[key] = Flip(segment, unit, entered, since, fired)


class Eye:
    """Looks with an evaluator at segments about one entity, which may name any of `every`."""

    def __init__(self, evaluator: Evaluates, every: Iterable[Segment]) -> None:
        self._evaluator = evaluator
        self._others = {each.id: each.definition for each in every}

    def units(self, segments: Sequence[Segment], units: Collection[str], now: Millis) -> Iterator[Look]:
        """At these units, some at once."""
        definitions = [each.definition for each in segments]
        ordered = sorted(units)
        for start in range(0, len(ordered), UNITS_AT_ONCE):
            some = ordered[start : start + UNITS_AT_ONCE]
            said = self._evaluator.evaluate(definitions, now, units=some, others=self._others)
            yield Look(segments, some, dict(said))

    def slice(self, segments: Sequence[Segment], part: Slice, now: Millis, known: Collection[str]) -> Look:
        """At all units of a slice, those that are `known` there among them. The segments are about one entity."""
        definitions = [each.definition for each in segments]
        said = dict(self._evaluator.evaluate(definitions, now, part=part, others=self._others))
        return Look(segments, said.keys() | set(known), said)
