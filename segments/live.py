"""Keeps who is in each segment: the only one who writes it, one thread of one process.

Everything reaches it through rows that were written with what made them true (`cdp.segment_work`), through the graph's
version, and through the clock. A round takes what waits, looks at the units that it is about with the one evaluator,
and writes what it found in one transaction, which takes the waiting rows away. So a round that is cut off anywhere is
done again, and gives the same. What takes long, filling and reconciling, goes on slice by slice between rounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import structlog
from prometheus_client import Histogram
from sqlalchemy import Engine

from cdp import segment_work
from cdp.errors import Retryable
from cdp.feeds import place_of
from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import reading, writing
from cdp.segment_work import Dropped, SegmentWork, Task
from identity.verbs import Identity
from segments import stays, timers
from segments.book import Segment
from segments.live_causes import explained, unexplained
from segments.live_looks import Eye, Standing
from segments.live_passes import filling, next_to_fill, reconciling
from segments.live_pieces import Piece, piecewise
from segments.live_touched import Ask, Index, Touched, Toucher
from segments.live_writing import FEED, Round, Tell, Writer
from segments.timers import Timers
from segments.tree import Entity
from segments.verdict import Evaluates

log = structlog.get_logger()

TASKS = 200
"""Rows taken in one round, each of a batch at most: a round costs much, and hardly more for more of them."""
TIMERS = 5_000
"""Units whose moment has come, in one round: what happens need not wait for the others."""
FULL_FROM = 20_000
"""Units from which on a look at everybody is cheaper."""
PAUSE_S = 0.2
"""After a round, at most; no longer than it took."""
RECONCILE_S = 3_600.0
AGAIN_S = 30.0
"""After a fault of ours."""
REFUSED_AGAIN_S = 300.0
"""Until what the engine refused is tried again."""
SETTLE_S = 5.0
"""Until a difference is looked at again: what was under way when it was found is done by then."""

ROUND_SECONDS = Histogram("xunji_segment_round_seconds", "Time of one round that looks at who is in segments")


class LiveSegments:
    """For one thread, but for `stop`. Where several processes could do it, the lease of the scheduler says which.

    `tell` is given each change once it is durable. `look_s` is how often to look for what other processes noted;
    `late_ms` how long who seems to have changed for no reason is waited for.
    """

    def __init__(
        self,
        records: Engine,
        work: SegmentWork,
        identity: Identity,
        toucher: Toucher,
        evaluator: Evaluates,
        tell: Tell,
        *,
        clock: Callable[[], Millis] = now_ms,
        look_s: float = 1.0,
        late_ms: Millis = 300,
    ) -> None:
        self._records, self._evaluator = records, evaluator
        self._writer = Writer(records, work, tell, clock, late_ms)
        self._work, self._identity, self._toucher = work, identity, toucher
        self._clock, self._look_s = clock, look_s
        self._stopping = threading.Event()
        self._job: Iterator[bool] | None = None
        # Takes part in rounds from its first slice on.
        self._filling: Sequence[Segment] = ()
        self._failed: dict[int, float] = {}
        self._reconciled = time.monotonic()

    def run(self) -> None:
        """Until `stop`; a store that is away is waited for."""
        while not self._stopping.is_set():
            try:
                began = time.monotonic()
                if self._turn():
                    # Others need the processors too; and what comes meanwhile is looked at together, for little more.
                    self._stopping.wait(min(PAUSE_S, time.monotonic() - began))
                else:
                    self._work.due.wait(self._pause_s())
            except Retryable as error:
                log.warning("segments_wait", reason=str(error))
                self._stopping.wait(error.retry_after_s)
            except Exception:
                log.exception("segments_failed")
                self._stopping.wait(AGAIN_S)

    def stop(self) -> None:
        """From any thread: end after the present round."""
        self._stopping.set()
        self._work.due.set()

    def drain(self) -> None:
        """Do all that is due now; for tests."""
        while self._turn():
            pass

    def reconcile(self) -> Mapping[str, int]:
        """Compare all segments with a full evaluation, and mend what differs: how many differences each has, by id."""
        found: dict[str, int] = {}
        for _ in reconciling(self._writer, self._evaluator, found, settled=lambda: not self._round()):
            pass
        return found

    def moment(self) -> Millis:
        """The moment of the next round."""
        return self._writer.moment()

    # One turn

    def _turn(self) -> bool:
        """What is due, and a part of what takes long; whether there was anything to do."""
        self._work.due.clear()
        did = self._round()
        job, self._job = self._job or self._next_job(), None
        went_on = False if job is None else self._part(job)
        if went_on is not None:
            self._job = job
        if not did and went_on is False:
            self._writer.rest()
            return False
        return True

    def _part(self, job: Iterator[bool]) -> bool | None:
        """A part of a job; None at its end. One that fails is begun anew, later."""
        went_on = None
        try:
            went_on = next(job, None)
        except Exception as error:
            self._failed |= {each.n: time.monotonic() for each in self._filling}
            self._reconciled = time.monotonic() - RECONCILE_S + REFUSED_AGAIN_S
            if isinstance(error, Retryable):
                raise
            log.exception("segments_not_filled")
        finally:
            if went_on is None:
                self._filling = ()
        return went_on

    def _next_job(self) -> Iterator[bool] | None:
        """Fill what is to be filled; else, once an hour, see that all is right."""
        began = time.monotonic()
        waits = {n for n, at in self._failed.items() if began - at < AGAIN_S}
        waits |= {n for n, at in self._writer.refused.items() if began - at < REFUSED_AGAIN_S}
        ready = next_to_fill(self._writer.segments(), waits)
        if ready:
            self._filling = ready
            return filling(self._writer, self._evaluator, ready)
        if began - self._reconciled < RECONCILE_S:
            return None
        self._reconciled = began
        return reconciling(self._writer, self._evaluator, {}, settled=lambda: time.monotonic() - began > SETTLE_S)

    def _round(self) -> bool:
        """Look at what is due; whether anything was."""
        now = self._writer.moment()
        tasks = segment_work.due(self._records, now, TASKS)
        with reading(self._records) as connection:
            fired = timers.due(connection, now, TIMERS)
        self._identity.follow()
        # Before the mirror is brought up to the graph, so that what comes in between is told again.
        head = self._identity.graph.head().seq
        place = place_of(self._records, FEED)
        if not tasks and not fired and head == place:
            return False
        with ROUND_SECONDS.time():
            self._look(tasks, fired, place, head, now)
        return True

    def _look(self, tasks: list[Task], fired: Mapping[str, Timers], place: int | None, head: int, now: Millis) -> None:
        every = self._writer.segments()
        index = Index(every, [each.n for each in self._filling])
        eye = Eye(self._evaluator, every, self._writer.refuse)
        touched = self._toucher.touched(tasks, index, since=place, now=now)
        for task in tasks:
            if isinstance(task.work, Dropped):
                self._drop(task.work.segment)
        complete = len(tasks) < TASKS and len(fired) < TIMERS
        numbers = [*(task.n for task in tasks), *touched.announced]
        done = Round(numbers, head, touched.erased, touched.emptied, complete)
        since = min((task.since for task in tasks), default=None)

        def write(found: Standing, done: Round | None) -> None:
            flips, late = unexplained(found.flips.values(), touched, index)
            changes = explained(flips, touched, index, eye, now)
            self._writer.write(changes, found.renewed, index, now, since=since, late=late, done=done)

        if _everybody(touched, fired):
            for found in self._at_everybody(touched, fired, index, eye, now):
                write(found, None)
            self._writer.write([], {}, index, now, done=done)
        else:
            write(self._at_units(touched, fired, index, eye, now), done)

    def _at_units(self, touched: Touched, fired: Mapping[str, Timers], index: Index, eye: Eye, now: Millis) -> Standing:
        """What is found of all that is asked for."""
        asks = _together([*touched.asks, *_asked_by_timers(fired, index, now)], index)
        with reading(self._records) as connection:
            standing = Standing.of_units(connection, set(fired).union(*(ask.units for ask in asks)))
        self._prepare(standing, touched, index)
        for ask in asks:
            for look in eye.units(_in_order(index, ask.segments), ask.units, now):
                standing.compare(look, now)
        return standing

    def _at_everybody(
        self, touched: Touched, fired: Mapping[str, Timers], index: Index, eye: Eye, now: Millis
    ) -> Iterator[Standing]:
        """What is found of everybody, piece by piece; each is to be written before the next is looked at."""
        asks = [*touched.asks, *_asked_by_timers(fired, index, now)]
        wanted = index.segments.keys() if touched.everything else set().union(*(ask.segments for ask in asks))

        def look(piece: Piece) -> Standing:
            with reading(self._records) as connection:
                standing = Standing.of_slice(connection, piece.segments, piece.part)
            self._prepare(standing, touched, index)
            standing.compare(eye.slice(piece.segments, piece.part, now, standing.known(now)), now)
            return standing

        for entity in Entity:
            segments = _in_order(index, index.about(entity) & wanted)
            if segments:
                yield from (each for each in piecewise(segments, look, self._writer.refuse) if each is not None)

    def _prepare(self, standing: Standing, touched: Touched, index: Index) -> None:
        standing.keep(frozenset(index.segments))
        standing.forget(touched.erased)

    def _drop(self, segment: int) -> None:
        """Take away who was in a segment that is deleted."""
        more = True
        while more:
            with writing(self._records) as connection:
                more = stays.drop(connection, segment)

    def _pause_s(self) -> float:
        with reading(self._records) as connection:
            moments = [segment_work.next_due(connection), timers.next_due(connection)]
        soonest = min((each for each in moments if each is not None), default=None)
        if soonest is None:
            return self._look_s
        return min(self._look_s, max(0.0, (soonest - self._clock()) / 1000))


def _everybody(touched: Touched, fired: Collection[str]) -> bool:
    return touched.everything or len(set(fired).union(*(ask.units for ask in touched.asks))) > FULL_FROM


def _asked_by_timers(fired: Mapping[str, Timers], index: Index, now: Millis) -> Iterator[Ask]:
    for entity in Entity:
        about = index.about(entity)
        due = {unit: _due(of_unit, now) & about for unit, of_unit in fired.items()}
        units = frozenset(unit for unit, segments in due.items() if segments)
        if units:
            yield Ask(frozenset().union(*due.values()), units)


def _together(asks: Sequence[Ask], index: Index) -> list[Ask]:
    """One ask for each entity: every further query costs more than the answers that nobody needed."""
    found = []
    for entity in Entity:
        mine = [ask for ask in asks if ask.segments & index.about(entity)]
        if mine:
            segments = frozenset().union(*(ask.segments for ask in mine))
            found.append(Ask(segments, frozenset().union(*(ask.units for ask in mine))))
    return found


def _due(of_unit: Timers, now: Millis) -> frozenset[int]:
    return frozenset(n for n, each in of_unit.items() if each.at <= now)


def _in_order(index: Index, segments: Collection[int]) -> list[Segment]:
    return [index.segments[n] for n in sorted(segments)]
