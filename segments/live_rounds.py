"""Rounds: whom what waits is about, what the evaluator says of them, and writing what came of it.

A round looks while what the one before found is written. The writing goes on in a thread of its own, in order, and
compares what was seen with what is stored by then, so nothing is compared with what another has yet to write. What a
round took waits until it is written, and is not taken twice meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from prometheus_client import Histogram
from sqlalchemy import Engine

from cdp import segment_work
from cdp.feeds import place_of
from cdp.model import Millis
from cdp.records import reading, writing
from cdp.segment_work import Dropped, Task
from identity.verbs import Identity
from segments import stays, timers
from segments.book import Segment
from segments.live_causes import explained, unexplained
from segments.live_looks import Eye, Look, Standing
from segments.live_touched import Ask, Index, Touched, Toucher
from segments.live_writing import FEED, Round, Writer
from segments.pieces import Piece, piecewise
from segments.timers import Due
from segments.tree import Entity
from segments.verdict import Evaluates

TASKS = 200
"""Rows taken in one round, each of a batch: a round costs much, and hardly more for more of them."""
EVENTS = 3_000
"""In one round, exceeded by one batch at most: what is due by the clock need not wait for all that happened."""
EVENTS_AT_EASE = 10_000
"""In one round where there is no segment, so that nothing is due by the clock."""
TIMERS = 50_000
"""Units whose moment has come, in one round. Most are of one segment, and a query of its own finds many at once."""
MOMENTS = 500_000
"""That have come of those units, in one round: what is found of it is held in memory, beside what is being written."""
FULL_FROM = 100_000
"""Units from which on a look at everybody is cheaper."""
VERDICTS_APART = 10_000
"""A query of its own costs as much as so many answers that nobody needs."""

ROUND_SECONDS = Histogram(
    "xunji_segment_round_seconds", "From when a round takes what waits until what it found of segments is written"
)


class Taken(NamedTuple):
    """What waits at the moment `now`: rows of work, units with the segments whose timers are due, and what the graph
    moved after version `place`, up to `head`. All that was due at the moment `fresh` is taken, here or before; None
    where it may not be. There may be `more` that is due. `began` is by the clock that never goes back."""

    began: float
    now: Millis
    tasks: Sequence[Task]
    fired: Due
    place: int | None
    head: int
    fresh: Millis | None
    more: bool


@dataclass(slots=True)
class Seen:
    """What a round saw of what it took, of the segments in `index`."""

    taken: Taken
    index: Index
    eye: Eye
    touched: Touched
    asks: Sequence[Ask]
    units: set[str]
    everybody: bool
    looks: list[Look] = field(default_factory=list)

    @property
    def numbers(self) -> Set[int]:
        """Of all tasks that are done then."""
        return frozenset(task.n for task in self.taken.tasks).union(self.touched.announced)

    def done(self) -> Round:
        """What is done once it is written."""
        return Round(self.numbers, self.taken.head, self.touched.erased, self.touched.emptied, self.taken.fresh)


class Rounds:
    """For one thread."""

    def __init__(
        self, records: Engine, identity: Identity, toucher: Toucher, evaluator: Evaluates, writer: Writer
    ) -> None:
        self._records, self._identity, self._toucher = records, identity, toucher
        self._evaluator, self._writer = evaluator, writer
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="segments-writing")
        self._writing: tuple[Seen, Future[None]] | None = None
        self.needed = self.behind = True
        """Whether there was any segment in the last round, and whether it left some of what waited."""

    def go(self, filling: Collection[int]) -> bool:
        """Look at what is due, and hand it over to be written, which may go on when this returns; whether there was
        anything to do. Segments that are being filled take part."""
        wrote = self._writing is not None and self._writing[1].done() and self.settle()
        every = self._writer.segments()
        taken = self._take(EVENTS if every else EVENTS_AT_EASE)
        self.needed, self.behind = bool(every), taken is not None and taken.more
        seen = self._look(taken, every, filling) if taken is not None else None
        wrote |= self.settle()
        if seen is not None:
            self._writing = seen, self._hand.submit(self._write, seen)
            if seen.everybody:
                # It looks while it writes, so the next one would be compared with what is newer than it.
                self.settle()
        return wrote or seen is not None

    def settle(self) -> bool:
        """Wait until all is written that was found; whether there was anything. Raises what writing it raised, and then
        it waits to be taken again."""
        if self._writing is None:
            return False
        (_, future), self._writing = self._writing, None
        future.result()
        return True

    def moment(self) -> Millis:
        """That of the next round."""
        moment, before = self._writer.moment(), self._being_written()
        return moment if before is None else max(moment, before.taken.now + 1)

    # Taking

    def _take(self, events: int) -> Taken | None:
        """About so many events, and what else waits; None where nothing does."""
        began, now, before = monotonic(), self.moment(), self._being_written()
        looked = before.units if before is not None else ()
        tasks = segment_work.due(self._records, now, TASKS, events, before.numbers if before is not None else ())
        with reading(self._records) as connection:
            fired = timers.due(connection, now, TIMERS, MOMENTS, looked)
        self._identity.follow()
        # Before the mirror is brought up to the graph, so that what comes in between is told again.
        head = self._identity.graph.head().seq
        place = before.taken.head if before is not None else place_of(self._records, FEED)
        if not tasks and not fired.segments and head == place:
            return None
        more = len(tasks) == TASKS or sum(task.events for task in tasks) >= events or fired.more
        fresh = None if more else _fresh(before.taken) if before is not None else now
        return Taken(began, now, tasks, fired, place, head, fresh, more)

    def _being_written(self) -> Seen | None:
        return None if self._writing is None else self._writing[0]

    # Looking

    def _look(self, taken: Taken, every: Sequence[Segment], filling: Collection[int]) -> Seen:
        index = Index(every, filling)
        eye = Eye(self._evaluator, every, self._writer.refuse)
        touched = self._toucher.touched(taken.tasks, index, since=taken.place, now=taken.now)
        asks = [*touched.asks, *_together(_asked_by_timers(taken.fired.segments, index), index)]
        units = set(taken.fired.segments).union(*(ask.units for ask in asks))
        everybody = touched.everything or len(units) > FULL_FROM
        seen = Seen(taken, index, eye, touched, asks, units, everybody)
        if not everybody:
            fewer = _together(asks, index)
            self._settle_for(fewer, index)
            seen.looks = [
                look for ask in fewer for look in eye.units(_in_order(index, ask.segments), ask.units, taken.now)
            ]
        return seen

    def _settle_for(self, asks: Iterable[Ask], index: Index) -> None:
        """Whether somebody has been in a segment for some time is read from what is written."""
        before = self._being_written()
        held = {n for n, each in index.mentions.items() if each.held}
        if before is not None and any(ask.segments & held and ask.units & before.units for ask in asks):
            self.settle()

    def _at_everybody(self, seen: Seen) -> Iterator[Standing]:
        """What is found of everybody, piece by piece; each is to be written before the next is looked at."""
        index, now = seen.index, seen.taken.now
        wanted = index.segments.keys() if seen.touched.everything else set().union(*(a.segments for a in seen.asks))

        def look(piece: Piece) -> Standing:
            with reading(self._records) as connection:
                standing = Standing.of_slice(connection, piece.segments, piece.part)
            _prepare(standing, seen)
            standing.compare(seen.eye.slice(piece.segments, piece.part, now, standing.known(now)), now)
            return standing

        for entity in Entity:
            segments = _in_order(index, index.about(entity) & wanted)
            if segments:
                yield from (each for each in piecewise(segments, look, self._writer.refuse) if each is not None)

    # Writing

    def _write(self, seen: Seen) -> None:
        for task in seen.taken.tasks:
            if isinstance(task.work, Dropped):
                self._drop(task.work.segment)
        if seen.everybody:
            for standing in self._at_everybody(seen):
                self._found(standing, seen, None)
            self._writer.write([], {}, seen.index, seen.taken.now, done=seen.done())
        else:
            with reading(self._records) as connection:
                standing = Standing.of_units(connection, seen.units)
            _prepare(standing, seen)
            for look in seen.looks:
                standing.compare(look, seen.taken.now)
            self._found(standing, seen, seen.done())
        ROUND_SECONDS.observe(monotonic() - seen.taken.began)

    def _found(self, standing: Standing, seen: Seen, done: Round | None) -> None:
        touched, index, now = seen.touched, seen.index, seen.taken.now
        flips, late = unexplained(standing.flips.values(), touched, index)
        changes = explained(flips, touched, index, seen.eye, now)
        since = min((task.since for task in seen.taken.tasks), default=None)
        self._writer.write(changes, standing.renewed, index, now, since=since, late=late, done=done)

    def _drop(self, segment: int) -> None:
        """Take away who was in a segment that is deleted."""
        more = True
        while more:
            with writing(self._records) as connection:
                more = stays.drop(connection, segment)


def _prepare(standing: Standing, seen: Seen) -> None:
    standing.keep(frozenset(seen.index.segments))
    standing.forget(seen.touched.erased)


def _fresh(before: Taken) -> Millis | None:
    """Up to when all is written that was due, where what is taken next is all the rest but for units of this one: their
    moments that came since, or that it left, wait."""
    return None if before.fired.more else before.now


def _asked_by_timers(fired: Mapping[str, frozenset[int]], index: Index) -> list[Ask]:
    """One ask of all for which the same is due: of a crowd that is one segment, and hardly anything of anybody else."""
    groups: defaultdict[frozenset[int], list[str]] = defaultdict(list)
    for unit, segments in fired.items():
        groups[segments].append(unit)
    abouts = [index.about(entity) for entity in Entity]
    return [
        Ask(due, frozenset(units))
        for segments, units in groups.items()
        for about in abouts
        if (due := segments & about)
    ]


def _together(asks: Iterable[Ask], index: Index) -> list[Ask]:
    """Fewer asks for the same: a further query costs more than some answers that nobody needed."""
    found: list[Ask] = []
    for entity in Entity:
        mine = [ask for ask in asks if ask.segments & index.about(entity)]
        every = frozenset[int]().union(*(ask.segments for ask in mine))
        rest: list[Ask] = []
        for ask in mine:
            apart = len(ask.units) * len(every - ask.segments) > VERDICTS_APART
            (found if apart else rest).append(ask)
        if rest:
            segments = frozenset[int]().union(*(ask.segments for ask in rest))
            found.append(Ask(segments, frozenset[str]().union(*(ask.units for ask in rest))))
    return found


def _in_order(index: Index, segments: Collection[int]) -> list[Segment]:
    return [index.segments[n] for n in sorted(segments)]
