"""Keeps who is in each segment: the only one who writes it, in one process.

Everything reaches it through rows that were written with what made them true (`cdp.segment_work`), through the graph's
version, and through the clock. A round takes what waits, looks at the units that it is about with the one evaluator,
and writes what it found, much of it in several transactions, of which the last takes the waiting rows away. So a round
that is cut off anywhere is done again, and gives the same. What takes long, filling and reconciling, goes on slice by
slice between rounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
from sqlalchemy import Engine

from cdp import segment_work
from cdp.errors import Retryable
from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import reading
from cdp.segment_work import SegmentWork
from identity.verbs import Identity
from segments import timers
from segments.book import Segment
from segments.live_passes import filling, next_to_fill, reconciling
from segments.live_rounds import Rounds
from segments.live_touched import Toucher
from segments.live_writing import Tell, Writer
from segments.verdict import Evaluates

log = structlog.get_logger()

PAUSE_S = 0.05
"""After a round, at most; no longer than it took."""
EASE_S = 1.0
"""Between rounds while there is no segment: they only keep what a question needs, which looks itself at what waits."""
RECONCILE_S = 3_600.0
AGAIN_S = 30.0
"""After a fault of ours."""
REFUSED_AGAIN_S = 300.0
"""Until what the engine refused is tried again."""
SETTLE_S = 5.0
"""Until a difference is looked at again: what was under way when it was found is done by then."""


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
        self._rounds = Rounds(records, identity, toucher, evaluator, self._writer)
        self._work, self._clock, self._look_s = work, clock, look_s
        self._stopping = threading.Event()
        self._job: Iterator[bool] | None = None
        # Takes part in rounds from its first slice on.
        self._filling: Sequence[Segment] = ()
        self._failed: dict[int, float] = {}
        self._reconciled = time.monotonic()

    def run(self) -> None:
        """Until `stop`; a store that is away is waited for."""
        while not self._stopping.is_set():
            self._trying(self._turn_or_wait)
        self._trying(self._rounds.settle)

    def stop(self) -> None:
        """From any thread: end after the present round, and when it is written."""
        self._stopping.set()
        self._work.due.set()

    def drain(self) -> None:
        """Do all that is due now."""
        while self._turn():
            pass

    def reconcile(self) -> Mapping[str, int]:
        """Compare all segments with a full evaluation, and mend what differs: how many differences each has, by id."""
        self._rounds.settle()
        found: dict[str, int] = {}
        for _ in reconciling(self._writer, self._evaluator, found, settled=lambda: not self._round()):
            pass
        return found

    def moment(self) -> Millis:
        """The moment of the next round."""
        return self._rounds.moment()

    # One turn

    def _trying(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Retryable as error:
            log.warning("segments_wait", reason=str(error))
            self._stopping.wait(error.retry_after_s)
        except Exception:
            log.exception("segments_failed")
            self._stopping.wait(AGAIN_S)

    def _turn_or_wait(self) -> None:
        began = time.monotonic()
        did = self._turn()
        if self._job is None and not (self._rounds.needed or self._rounds.behind):
            self._rounds.settle()
            self._take_it_easy(began + EASE_S)
        elif did:
            # Others need the processors too; and what comes meanwhile is looked at together, for little more.
            self._stopping.wait(min(PAUSE_S, time.monotonic() - began))
        else:
            self._work.due.wait(self._pause_s())

    def _take_it_easy(self, until: float) -> None:
        """Wait so long, or until somebody makes a segment."""
        while (left := until - time.monotonic()) > 0:
            self._work.due.clear()
            if self._stopping.is_set() or self._writer.segments():
                return
            self._work.due.wait(min(self._look_s, left))

    def _turn(self) -> bool:
        """What is due, and a part of what takes long; whether there was anything to do."""
        self._work.due.clear()
        did = self._round()
        self._job = self._job or self._next_job()
        went_on = False if self._job is None else self._part(self._job)
        if not did and went_on is False:
            self._writer.rest()
            return False
        return True

    def _round(self) -> bool:
        began = time.monotonic()
        try:
            return self._rounds.go([each.n for each in self._filling])
        finally:
            self._work.round_s = time.monotonic() - began if self._rounds.needed else 0.0

    def _part(self, job: Iterator[bool]) -> bool | None:
        """A part of a job; None at its end. One that fails is begun anew, later."""
        # Where what a round found cannot be written the job has not failed, and goes on afterwards.
        self._rounds.settle()
        went_on = None
        try:
            went_on = next(job, None)
        except Exception as error:
            failed = time.monotonic()
            if self._filling:
                self._failed |= {each.n: failed for each in self._filling}
            else:
                self._reconciled = failed - RECONCILE_S + REFUSED_AGAIN_S
            if isinstance(error, Retryable):
                raise
            log.exception("segments_job_failed", filling=[each.id for each in self._filling])
        finally:
            if went_on is None:
                self._job, self._filling = None, ()
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

    def _pause_s(self) -> float:
        with reading(self._records) as connection:
            moments = [segment_work.next_due(connection), timers.next_due(connection)]
        soonest = min((each for each in moments if each is not None), default=None)
        if soonest is None:
            return self._look_s
        return min(self._look_s, max(0.0, (soonest - self._clock()) / 1000))
