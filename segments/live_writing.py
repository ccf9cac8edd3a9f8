"""Writes what looks have found: stays, timers, sizes and outgoing messages in one transaction, and then tells it.

Of many units it takes several, each with all of some. What was found by a definition that was changed or deleted
meanwhile is left out; the new one is filled.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection, Engine

from cdp import segment_work
from cdp.feeds import note_place
from cdp.model import Millis, PersonId
from cdp.moments import rfc3339
from cdp.outgoing import Outgoing, put_out
from cdp.records import reading, writing
from cdp.segment_work import Joined, Moved, SegmentWork
from segments import health, stays, timers
from segments.book import Segment, segments_in, set_aside, states_in
from segments.health import Lags
from segments.live_touched import Index
from segments.stays import Change, Reason
from segments.timers import Timers

log = structlog.get_logger()

REFUSALS = Counter("xunji_segment_refusals", "Segments set aside because the engine does not answer about them")

FEED = "segments"
FRESHEN_MS = 1_000
AT_ONCE = 2_000
"""Changes and timers in one transaction, exceeded by one unit at most: others write records too, and wait for its end
several times for each batch of events."""
GIVE_WAY_S = 0.01
"""Between two such: who waits for its turn to write gets it."""

Tell = Callable[[str, Iterable[Any]], None]


@dataclass(frozen=True, slots=True)
class Round:
    """What is done once all that it found is written: these tasks, by number, and the graph's changes up to `place`;
    `erased` and `emptied` are persons and leads of which something is to be forgotten. All that was due at the moment
    `fresh` is written then; None where it may not be."""

    tasks: Collection[int] = ()
    place: int | None = None
    erased: Collection[str] = frozenset()
    emptied: Collection[str] = frozenset()
    fresh: Millis | None = None


class Writer:
    """`write` and `rest` are for one thread at a time, the rest for any. Each of its moments is later than those of all
    that was written before."""

    def __init__(
        self, records: Engine, work: SegmentWork, tell: Tell, clock: Callable[[], Millis], late_ms: Millis
    ) -> None:
        self.records, self._late_ms = records, late_ms
        self._work, self._tell, self._clock = work, tell, clock
        self._lags = Lags()
        self._last: Millis | None = None
        self._fresh: Millis = 0
        self._refused: dict[int, float] = {}

    @property
    def refused(self) -> Mapping[int, float]:
        """By number, when what a segment asks was last refused here, by the clock that never goes back."""
        return self._refused

    def segments(self) -> list[Segment]:
        """All there are, as they are now."""
        with reading(self.records) as connection:
            return segments_in(connection)

    def moment(self) -> Millis:
        """Now, by a clock that never stands still or goes back."""
        if self._last is None:
            with reading(self.records) as connection:
                self._last = stays.newest(connection, states_in(connection).keys())
        return max(self._clock(), self._last + 1)

    def write(
        self,
        changes: Sequence[Change],
        renewed: Mapping[str, Timers],
        index: Index,
        now: Millis,
        *,
        since: Millis | None = None,
        late: Collection[str] = (),
        done: Round | None = None,
    ) -> None:
        """Write what a look of the moment `now` found at segments of this index, durably, all of a unit in one
        transaction; `done` goes with the last. `since` is when what brought it about could have been known; the units
        that are `late` are to be looked at again in a moment."""
        self._last = now
        of_unit: defaultdict[str, list[Change]] = defaultdict(list)
        for each in changes:
            of_unit[each.unit].append(each)
        parts = list(_turns(of_unit, renewed)) or [[]]
        for n, units in enumerate(parts, 1):
            its_changes = [change for unit in units for change in of_unit.get(unit, ())]
            its_timers = {unit: renewed[unit] for unit in units if unit in renewed}
            last = n == len(parts)
            public = self._write(its_changes, its_timers, index, now, late if last else (), done if last else None)
            self._lags.note(public, _causes(public, since), self._clock())
            if not last:
                time.sleep(GIVE_WAY_S)

    def refuse(self, segment: Segment, cause: str) -> None:
        """The engine does not answer about this segment, while it does about others: set it aside."""
        REFUSALS.inc()
        # Whoever reads it in another thread keeps what it has.
        self._refused = {**self._refused, segment.n: time.monotonic()}
        log.error("segment_refused", segment=segment.id, reason=cause)
        with writing(self.records) as connection:
            if set_aside(connection, segment):
                health.refuse(connection, segment.n, cause)
        self.turned()

    def turned(self) -> None:
        """Say that who is in segments has become another."""
        self._work.turns += 1

    def rest(self) -> None:
        """Nothing is to be done: tell how late the last changes were."""
        if self._lags.due():
            with writing(self.records) as connection:
                self._lags.write(connection)

    def _write(
        self,
        changes: Sequence[Change],
        renewed: Mapping[str, Timers],
        index: Index,
        now: Millis,
        late: Collection[str],
        done: Round | None,
    ) -> list[Change]:
        """The changes that others are told of."""
        with writing(self.records) as connection:
            states = states_in(connection)
            same = {n for n, each in index.segments.items() if states.get(n) == (each.version, each.state)}
            changes = stays.fitting(connection, [each for each in changes if each.segment in same])
            public = [each for each in changes if index.segments[each.segment].live]
            if done is not None and done.erased:
                aside = {n: version for n, (version, _) in states.items() if n not in same}
                changes += _left_behind(connection, done.erased, aside, now)
            stays.write(connection, changes)
            timers.write(connection, renewed)
            health.grow(connection, changes)
            moments = {at: rfc3339(at) for at in {each.at for each in public}}
            messages = [_message(each, index.segments[each.segment], moments[each.at]) for each in public]
            put_out(connection, messages)
            self._tell_those_who_ask(connection, changes, index, now)
            if late:
                self._work.note(connection, Moved(sorted(map(PersonId, late)), late=True), at=now + self._late_ms)
            if done is not None:
                self._finish(connection, done, [n for n in same if index.segments[n].live])
        if changes:
            self.turned()
        self._tell("segment", [each.body for each in messages])
        return public

    def _tell_those_who_ask(self, connection: Connection, changes: Sequence[Change], index: Index, now: Millis) -> None:
        """Segments that ask for how long one has been in another look again."""
        units: defaultdict[int, list[str]] = defaultdict(list)
        asked = {n for n in {each.segment for each in changes} if index.held(n)}
        for each in changes:
            if each.segment in asked:
                units[each.segment].append(each.unit)
        if units:
            self._work.note(connection, Joined(dict(units)), at=now)

    def _finish(self, connection: Connection, done: Round, live: Sequence[int]) -> None:
        segment_work.done(connection, done.tasks)
        if done.place is not None:
            note_place(connection, FEED, done.place)
        stays.forget(connection, done.erased)
        stays.forget_causes(connection, done.emptied)
        if self._lags.due():
            self._lags.write(connection)
        if done.fresh is not None and done.fresh - self._fresh >= FRESHEN_MS:
            self._fresh = done.fresh
            health.freshen(connection, live, done.fresh)


def _left_behind(
    connection: Connection, erased: Collection[str], aside: Mapping[int, int], now: Millis
) -> list[Change]:
    """Whoever is erased is in no segment any more, also where nobody looks: these, by number, with their versions."""
    return [
        Change(n, unit, False, now, Reason.ERASURE, None, aside[n], since)
        for unit, stays_of in stays.members_among(connection, erased).items()
        for n, since in stays_of.items()
        if n in aside
    ]


def _turns(of_unit: Mapping[str, Sequence[Change]], renewed: Mapping[str, Timers]) -> Iterator[list[str]]:
    """The units of each transaction."""
    units: list[str] = []
    rows = 0
    for unit in sorted(of_unit.keys() | renewed.keys()):
        units.append(unit)
        rows += len(of_unit.get(unit, ())) + (unit in renewed)
        if rows >= AT_ONCE:
            yield units
            units, rows = [], 0
    if units:
        yield units


def _causes(changes: Iterable[Change], since: Millis | None) -> dict[tuple[int, str], Millis]:
    """When each could have been known."""
    return {
        (each.segment, each.unit): at
        for each in changes
        if (at := each.at if each.reason is Reason.TIMER else since) is not None
    }


def _message(change: Change, segment: Segment, moment: str) -> Outgoing:
    kind = "entered" if change.entered else "exited"
    named = f"{segment.id} {change.version} {change.unit} {kind} {change.at}"
    name = hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
    body = {
        "id": name,
        "segment": segment.id,
        "version": change.version,
        segment.definition.entity.value: change.unit,
        "change": kind,
        "at": moment,
        "reason": change.reason.value,
        "cause_event": change.cause,
    }
    return Outgoing(name, change.at, f"segment.{kind}", body)
