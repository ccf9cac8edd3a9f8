"""What is to be done before a question about many, so that its answer knows all that is durable by now.

Segments are asked of the mirrors beside the events, which follow a moment after each batch, when rounds come to them.
Whoever asks in between goes ahead: the sets and leads that the waiting rows name are mirrored, and the rows stay for
the round.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from sqlalchemy import Connection, Engine

from cdp import segment_work
from cdp.errors import GateClosed
from cdp.model import Millis
from cdp.moments import now_ms
from cdp.records import chunks
from cdp.segment_work import SegmentWork
from identity.gate import REQUEST_S, Gate
from profiles.owners import Followed, Owners
from segments.lead_rows import LeadRows
from segments.waiting import Waiting, moved_by

AHEAD_MS = 60_000
"""By which the clock of whoever noted a row may be ahead of ours."""
AT_ONCE = 50
"""Rows, each of a batch at most, that lie in memory at one time."""
PORTIONS = 4
"""Of these are followed before one question: so that it is answered, or refused, within some seconds."""
OWNERS = "owners"
"""The turn in which one at a time follows the graph: of two who do so at one version neither is the newer."""


class Freshness:
    """Thread-safe, for any process."""

    def __init__(
        self,
        records: Engine,
        work: SegmentWork,
        owners: Owners,
        leads: LeadRows,
        gate: Gate,
        *,
        clock: Callable[[], Millis] = now_ms,
    ) -> None:
        self._records, self._work = records, work
        self._owners, self._leads = owners, leads
        self._gate, self._clock = gate, clock
        self._done: frozenset[int] = frozenset()
        self._lock = Lock()

    def catch_up(self) -> None:
        """Mirror what waits; where nothing does, that is three small reads and a note at most. Raises StoreUnavailable,
        and GateClosed where that would take long; each call comes nearer then."""
        if not self._lock.acquire(timeout=REQUEST_S):
            raise GateClosed
        try:
            waiting = segment_work.waiting(self._records, self._clock() + AHEAD_MS)
            self._done &= waiting
            news = sorted(waiting - self._done)
            for some in list(chunks(news, AT_ONCE))[:PORTIONS] or [()]:
                self._follow(Waiting.of(segment_work.read(self._records, some)))
                self._done |= frozenset(some)
            if len(news) > AT_ONCE * PORTIONS:
                raise GateClosed
        finally:
            self._lock.release()

    def _follow(self, work: Waiting) -> None:
        with self._gate.together(within_s=REQUEST_S):
            self._leads.follow(work.every_lead)
        told: list[int] = []

        def tell(connection: Connection, news: Followed) -> None:
            """Rounds find moved what they did not move themselves."""
            told.append(self._work.note(connection, moved_by(news), at=self._clock()))

        try:
            with self._gate.turn(OWNERS, within_s=REQUEST_S):
                self._owners.follow(work.every_set, tell)
        finally:
            # Also where the mirror could not be written: what was told is durable, and is looked at.
            if told:
                self._work.due.set()
