"""One look at some units and some segments: what the evaluator says, beside what is stored of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection

from cdp.errors import StoreUnavailable, Superseded
from cdp.model import Millis
from cdp.records import chunks
from profiles.store import NOBODY, STORE
from segments import stays, timers
from segments.book import Segment
from segments.pieces import Unanswered
from segments.stays import Members
from segments.timers import Timer, Timers
from segments.tree import Any_, Definition, Entity
from segments.verdict import Evaluates, Slice, Verdicts

log = structlog.get_logger()

UNITS_AT_ONCE = 5_000
"""In one query: what it costs besides is the same for all of them."""
OF_FEW_SEGMENTS, FEW_SEGMENTS = 20_000, 10
"""So many where hardly anything is asked of each, as where a window ends for a crowd."""
MET_BY_NOBODY = Definition(Entity.PERSON, "UTC", Any_(()))


class Look(NamedTuple):
    """`units` are all that were looked at; of those without verdicts there is nothing to be said."""

    segments: Sequence[Segment]
    units: Collection[str]
    verdicts: Mapping[str, Verdicts]


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
            said = look.verdicts.get(unit)
            inside = {look.segments[place].n for place in said.members} if said else set()
            nexts = {look.segments[place].n: moment for place, moment in said.nexts.items()} if said else {}
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

    def __init__(self, evaluator: Evaluates, every: Iterable[Segment], refuse: Callable[[Segment, str], None]) -> None:
        self._evaluator, self._refuse = evaluator, refuse
        self._others = {each.id: each.definition for each in every}
        self._refused: set[int] = set()

    def units(self, segments: Sequence[Segment], units: Collection[str], now: Millis) -> Iterator[Look]:
        """At these units, some at once. A segment for which the engine refuses it is given to `refuse`, and passed
        over from then on."""
        at_once = OF_FEW_SEGMENTS if len(segments) <= FEW_SEGMENTS else UNITS_AT_ONCE
        for some in chunks(sorted(units), at_once):
            yield from self._some(segments, some, now)

    def _some(self, segments: Sequence[Segment], units: Sequence[str], now: Millis) -> Iterator[Look]:
        segments = [each for each in segments if each.n not in self._refused]
        if not segments:
            return
        try:
            look = Look(segments, units, self._said(segments, now, units=units))
        except Unanswered as error:
            if len(units) > UNITS_AT_ONCE:
                # It may have been too many.
                for fewer in chunks(units, UNITS_AT_ONCE):
                    yield from self._some(segments, fewer, now)
                return
            half = len(segments) // 2
            if not half:
                self._refused.add(segments[0].n)
                self._refuse(segments[0], str(error))
            for some in (segments[:half], segments[half:]):
                yield from self._some(some, units, now)
        else:
            yield look

    def slice(self, segments: Sequence[Segment], part: Slice, now: Millis, known: Collection[str]) -> Look:
        """At all units of a slice, those that are `known` there among them. Raises Unanswered."""
        said = self._said(segments, now, part=part)
        return Look(segments, said.keys() | set(known), said)

    def _said(self, segments: Sequence[Segment], now: Millis, **of: Any) -> dict[str, Verdicts]:
        definitions = [each.definition for each in segments]
        try:
            found = self._evaluator.evaluate(definitions, now, others=self._others, **of)
            return {each.unit: each for each in found}
        except Superseded:
            raise
        except StoreUnavailable as error:
            if error.store != STORE or not self._answers(now):
                raise
            raise Unanswered(error.cause) from error
        except Exception as error:
            # A fault of ours holds up nobody else either.
            log.exception("segments_not_looked_at", segments=[each.id for each in segments])
            raise Unanswered(repr(error)) from error

    def _answers(self, now: Millis) -> bool:
        """Whether the engine answers anything at all."""
        try:
            list(self._evaluator.evaluate([MET_BY_NOBODY], now, units=[NOBODY]))
        except StoreUnavailable:
            return False
        return True
