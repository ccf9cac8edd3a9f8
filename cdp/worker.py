"""The loop that takes hits from the log through the pipeline, and begins again where it was after any crash.

Before a batch is stored, its ranges are noted in the records store, with the graph's version; its commit moves the
position and removes the note. A worker that starts and finds a note does a batch of just those ranges first, so that
the stores recognise what they have already, and takes what the graph changed since for the batch's own doing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import select

from cdp.accounting import Refusal, begun_rows, position_rows, refusals_of
from cdp.batch import LEAD_NOT_CAPTURED, Batch, Found, Range
from cdp.errors import Retryable
from cdp.log import LogReader, Record
from cdp.model import Hit, Millis, Position
from cdp.pipeline import Tools, process
from cdp.records import reading, writing
from cdp.seen import Place
from cdp.vault import Cipher

log = structlog.get_logger()

MAX_HITS = 2_000
MAX_BYTES = 2 * 1024 * 1024
"""Of sealed hits in one batch: keeps a batch of large hits as small in memory as one of many small ones."""
IDLE_S = 5.0
"""The longest wait without a wake-up; every append wakes the worker, this only covers what nobody thought of."""

EVENTS = Counter("xunji_events", "Events by outcome", ["outcome"])
BATCH_SECONDS = Histogram("xunji_batch_seconds", "Time of one micro-batch")
PENDING = Gauge("xunji_pending_hits", "Hits in the log that are not processed yet")


class Progress:
    """How far each partition is processed; others wait on it. Thread-safe."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._moved = threading.Condition()

    def at(self, partition: int) -> int:
        return self._done.get(partition, 0)

    def reached(self, partition: int, offset: int) -> None:
        with self._moved:
            self._done[partition] = offset
            self._moved.notify_all()

    def wait_for(self, ends: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until everything before these ends is processed; whether that came in time."""
        with self._moved:
            return self._moved.wait_for(lambda: all(self.at(each) >= end for each, end in ends.items()), timeout_s)


class Replay:
    """A request to translate kept hits again; `wait` returns how many hits were looked at."""

    def __init__(self, start: Millis, source: str | None) -> None:
        self.start = start
        self.source = source
        self.hits = 0
        self.total = 0
        self.changed = 0
        self.done = threading.Event()


class Worker:
    """One thread processes all partitions of the log, in micro-batches as large as what has come meanwhile."""

    def __init__(self, tools: Tools, reader: LogReader, secret: bytes, *, clock: Callable[[], Millis]) -> None:
        self._tools = tools
        self._reader = reader
        self._cipher = Cipher(secret, "log")
        self._clock = clock
        self._stopping = threading.Event()
        self._replays: queue.SimpleQueue[Replay] = queue.SimpleQueue()
        self.progress = Progress()

    def run(self) -> None:
        """Process until `stop`; a batch that has begun is ended first. A store that is away is waited for."""
        recovered = False
        while not self._stopping.is_set():
            try:
                if not recovered:
                    self._recover()
                    recovered = True
                if not (self._step() or self._replay_next()):
                    self._reader.wait(IDLE_S)
            except Retryable as error:
                log.warning("worker_waits", reason=str(error))
                self._stopping.wait(error.retry_after_s)

    def stop(self) -> None:
        """From any thread: end after the present batch."""
        self._stopping.set()
        self._reader.wake()

    def drain(self) -> None:
        """Process everything that the log holds and every replay asked for; for commands without a server."""
        self._recover()
        while self._step() or self._replay_next():
            pass

    def replay(self, start: Millis, source: str | None = None) -> Replay:
        """Ask for all hits received since `start` to be translated again. Doing so twice changes nothing."""
        replay = Replay(start, source)
        self._replays.put(replay)
        self._reader.wake()
        return replay

    def open_hit(self, position: Position) -> Hit | None:
        """A kept hit as it came; None where it was never there, is past its retention or cannot be opened."""
        records = self._reader.read(position.partition, position.offset, 1)
        if not records or records[0].offset != position.offset:
            return None
        return self.open_payload(records[0].payload)

    def _step(self) -> bool:
        """Process one batch, if there is anything; whether there was."""
        self._tools.sources.refresh()
        ends = self._reader.ends()
        pending = {each: end - self.progress.at(each) for each, end in ends.items() if end > self.progress.at(each)}
        PENDING.set(sum(pending.values()))
        if not pending:
            return False
        ranges: list[Range] = []
        hits: list[Found] = []
        for partition in sorted(pending):
            start = self.progress.at(partition)
            records = self._share(partition, start, len(pending))
            # Records that retention took before they were processed are passed over.
            ranges.append((partition, start, records[-1].offset + 1 if records else ends[partition]))
            hits += self._opened(partition, records)
        self._process(ranges, hits)
        for partition, _, end in ranges:
            self.progress.reached(partition, end)
        return True

    def _recover(self) -> None:
        with reading(self._tools.records) as connection:
            for row in connection.execute(select(position_rows)):
                self.progress.reached(row.partition, row.next)
            begun = connection.execute(select(begun_rows)).one_or_none()
        if begun is None:
            return
        ranges = msgspec.json.decode(begun.ranges, type=list[Range])
        log.info("batch_redone", ranges=ranges)
        hits = [
            hit
            for partition, start, end in ranges
            for hit in self._opened(partition, self._reader.read(partition, start, end - start))
        ]
        self._process(ranges, hits, replay=begun.replay, begun_at=begun.graph_version)
        if not begun.replay:
            for partition, _, end in ranges:
                self.progress.reached(partition, end)

    def _replay_next(self) -> bool:
        """Do one replay that was asked for; whether there was any."""
        try:
            replay = self._replays.get_nowait()
        except queue.Empty:
            return False
        starts = {each: self._reader.seek(each, replay.start) for each in self._reader.ends()}
        replay.total = sum(max(0, self.progress.at(each) - start) for each, start in starts.items())
        for partition, start in starts.items():
            self._replay_partition(replay, partition, start)
        replay.done.set()
        return True

    def _replay_partition(self, replay: Replay, partition: int, start: int) -> None:
        end = self.progress.at(partition)
        while start < end and not self._stopping.is_set():
            records = self._share(partition, start, 1, until=end)
            if not records:
                return
            after = records[-1].offset + 1
            hits = _of(replay.source, self._opened(partition, records))
            replay.changed += self._process([(partition, start, after)], hits, replay=True)
            replay.hits += len(records)
            start = after

    def _share(self, partition: int, start: int, shares: int, *, until: int | None = None) -> Sequence[Record]:
        limit = max(1, MAX_HITS // shares)
        if until is not None:
            limit = min(limit, until - start)
        return _within(MAX_BYTES // shares, self._reader.read(partition, start, limit))

    def _opened(self, partition: int, records: Sequence[Record]) -> list[Found]:
        return [(Position(partition, record.offset), self.open_payload(record.payload)) for record in records]

    def open_payload(self, payload: bytes) -> Hit | None:
        """The hit in a record of the log; None where it cannot be opened."""
        try:
            return msgspec.msgpack.decode(self._cipher.open(payload), type=Hit)
        except (InvalidTag, msgspec.DecodeError):
            return None

    def _process(
        self, ranges: list[Range], hits: list[Found], *, replay: bool = False, begun_at: int | None = None
    ) -> int:
        """Take one batch through, however often a store is away meanwhile; how many records got an outcome.

        `begun_at` is the graph's version when the batch was noted, None where it is begun only now.
        """
        again = begun_at is not None
        if begun_at is None:
            begun_at = self._tools.identity.version
            self._note(ranges, replay, begun_at)
        while True:
            try:
                batch = Batch(ranges, hits, now=self._clock(), replay=replay, earlier=self._earlier(ranges, replay))
                if again:
                    # Evidence that an earlier attempt took in changes nothing now; what it changed must still be told.
                    batch.changed_sets |= self._tools.identity.sets_moved_since(begun_at)
                with self._tools.gate.together(), BATCH_SECONDS.time():
                    process(self._tools, batch)
            except Retryable as error:
                log.warning("batch_waits", reason=str(error))
                if self._stopping.wait(error.retry_after_s):
                    raise
                again = True
            else:
                return _count(batch)

    def _earlier(self, ranges: list[Range], replay: bool) -> dict[Place, Refusal]:
        if not replay:
            return {}
        with reading(self._tools.records) as connection:
            found = [refusals_of(connection, *each) for each in ranges]
        # An event whose lead could not be captured is stored all the same, and stays so.
        return {
            place: refusal
            for refusals in found
            for place, refusal in refusals.items()
            if refusal.reason != LEAD_NOT_CAPTURED
        }

    def _note(self, ranges: list[Range], replay: bool, graph_version: int) -> None:
        note = {"ranges": msgspec.json.encode(ranges).decode(), "replay": replay, "graph_version": graph_version}
        with writing(self._tools.records) as connection:
            connection.execute(begun_rows.delete())
            connection.execute(begun_rows.insert().values(id=1, **note))


def _of(source: str | None, hits: list[Found]) -> list[Found]:
    return [(at, hit) for at, hit in hits if source is None or (hit is not None and hit.source == source)]


def _within(limit: int, records: Sequence[Record]) -> Sequence[Record]:
    """The first records whose payloads stay within `limit` bytes, at least one."""
    total = 0
    for index, record in enumerate(records):
        total += len(record.payload)
        if total > limit and index:
            return records[:index]
    return records


def _count(batch: Batch) -> int:
    """Add a batch to the metrics; how many of its records have an outcome that they did not have before."""
    EVENTS.labels("stored").inc(len(batch.stored))
    EVENTS.labels("duplicate").inc(len(batch.repeats))
    EVENTS.labels("refused").inc(len(batch.refusals))
    was = {place: refusal.reason for place, refusal in batch.earlier.items()}
    refused = sum(was.get(refusal.place) != refusal.reason for refusal in batch.refusals)
    return len(batch.stored) + len(batch.repeats) + refused
