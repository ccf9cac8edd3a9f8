"""The loop that takes hits from the log through the pipeline, and begins again where it was after any crash.

Before anything of a batch is stored it is noted, partition by partition; its commit moves the positions and removes
the notes. A worker to whom a partition comes does what was begun of it first, by whomever: a batch of just that range,
so that the stores recognise what they have already, and takes what the graph changed since for the batch's own doing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from prometheus_client import Gauge

from cdp.begun import Range, positions, unfinished_replays
from cdp.errors import Overtaken, Retryable
from cdp.kept_hits import KeptHits
from cdp.log import LogConsumer, LogReader, Record, within
from cdp.model import Millis
from cdp.pipeline import Tools
from cdp.processing import MAX_BYTES, MAX_HITS, Processor, of_source
from cdp.progress import Progress
from cdp.records import reading

log = structlog.get_logger()

IDLE_S = 5.0
"""The longest wait without a wake-up; every append wakes the worker, this only covers what nobody thought of."""
APART_S = 0.25
"""At most, between the beginnings of two batches while segments are busy, and a third of what a round of these takes.
A batch costs much whatever its size: many small ones take the processor and the records from the rounds."""
LIVE_FIRST_S = 2.0
"""How long a batch of a replay lets what is live go first."""
PENDING_S = 1.0
"""Between two counts of what waits."""

PENDING = Gauge("xunji_pending_hits", "Hits in the log that are not processed yet")


class Worker:
    """One thread processes its partitions of the log, in micro-batches as large as what has come meanwhile.

    `progress` is told what it did.
    """

    def __init__(
        self,
        tools: Tools,
        reader: LogReader,
        open_consumer: Callable[[], LogConsumer],
        hits: KeptHits,
        *,
        progress: Progress,
        clock: Callable[[], Millis],
    ) -> None:
        self._tools = tools
        self._reader = reader
        self._open_consumer = open_consumer
        self._consumer: LogConsumer | None = None
        self._stopping = threading.Event()
        self._processor = Processor(tools, reader, hits, clock=clock, stopping=self._stopping)
        self.progress = progress
        self._lost: set[int] = set()
        self._counted = 0.0
        self._not_before = 0.0

    def run(self) -> None:
        """Process until `stop`; a batch that has begun is ended first. A store that is away is waited for."""
        while not self._stopping.is_set():
            try:
                self.progress.pause(self._not_before - time.monotonic())
                if not self._turn(self._consuming(), IDLE_S):
                    self._catch_up()
            except Retryable as error:
                log.warning("worker_waits", reason=str(error))
                self._stopping.wait(error.retry_after_s)
        self._close()

    def stop(self) -> None:
        """From any thread: end after the present batch."""
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.wake()

    def drain(self) -> None:
        """Process everything that the log holds, in the caller's thread."""
        try:
            while self._turn(self._consuming(), 0):
                pass
        finally:
            self._close()

    def _consuming(self) -> LogConsumer:
        if self._consumer is None:
            self._consumer = self._open_consumer()
        return self._consumer

    def _catch_up(self) -> None:
        """What other processes did that leads miss comes with no batch where nobody sends anything."""
        with self._tools.gate.together():
            self._tools.leads.catch_up()

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _turn(self, consumer: LogConsumer, timeout_s: float) -> bool:
        """Process one batch, or begin with partitions that came; whether there was anything to do."""
        self._count_pending(consumer)
        found = consumer.poll(records=MAX_HITS, size=MAX_BYTES, timeout_s=timeout_s)
        if found:
            apart_s = 0.0 if _more_waits(found) else min(APART_S, self._tools.segment_work.round_s / 3)
            self._not_before = time.monotonic() + apart_s
            self._step(found)
        came = consumer.waiting() | (self._lost & consumer.partitions())
        for partition in sorted(came):
            self._take(consumer, partition)
        return bool(found or came)

    def _step(self, found: Mapping[int, Sequence[Record]]) -> None:
        found = self._without_gaps(found)
        if not found:
            return
        # Records that retention took before they were processed are passed over.
        ranges: list[Range] = [
            (each, self.progress.at(each), records[-1].offset + 1) for each, records in sorted(found.items())
        ]
        hits = [hit for partition, _, _ in ranges for hit in self._processor.opened(partition, found[partition])]
        try:
            self._processor.process(ranges, hits)
        except Overtaken as error:
            log.warning("batch_overtaken", reason=str(error))
            # Of the others, too, the consumer has handed out what was not done.
            self._lost |= found.keys()
            return
        for partition, _, end in ranges:
            self.progress.reached(partition, end)

    def _without_gaps(self, found: Mapping[int, Sequence[Record]]) -> Mapping[int, Sequence[Record]]:
        """Those partitions whose records follow on what is processed, but for what retention took. Anything else would
        be passed over for good, so it is read again from where it is processed."""
        behind = {each for each, records in found.items() if records[0].offset > self.progress.at(each)}
        oldest = self._reader.starts() if behind else {}
        skipped = {each for each in behind if oldest.get(each, 0) < found[each][0].offset}
        if skipped:
            log.error("records_skipped", partitions=sorted(skipped))
            self._lost |= skipped
        return {each: records for each, records in found.items() if each not in skipped}

    def _take(self, consumer: LogConsumer, partition: int) -> None:
        """Begin with a partition where it is processed, after what was begun of it."""
        try:
            self._processor.do_again(partition)
            with reading(self._tools.records) as connection:
                position = positions(connection, partition).get(partition, 0)
            oldest = self._reader.starts().get(partition, 0)
            if oldest > position:
                self._processor.process([(partition, position, oldest)], [])
                position = oldest
        except Overtaken as error:
            log.warning("batch_overtaken", reason=str(error))
            self._lost.add(partition)
            return
        self._lost.discard(partition)
        self.progress.reached(partition, position)
        consumer.begin(partition, position)

    def _count_pending(self, consumer: LogConsumer) -> None:
        if time.monotonic() - self._counted > PENDING_S:
            self._counted = time.monotonic()
            ends, mine = self._reader.ends(), consumer.partitions()
            PENDING.set(sum(max(0, ends.get(each, 0) - self.progress.at(each)) for each in mine))


def _more_waits(found: Mapping[int, Sequence[Record]]) -> bool:
    """Whether a partition gave about as much as it may, so that there is probably more."""
    records, size = MAX_HITS // len(found), MAX_BYTES // len(found)
    return any(len(some) >= records or sum(len(each.payload) for each in some) > size // 2 for some in found.values())


class Replayer:
    """Translates kept hits again, a batch at a time, after what is live. For one thread."""

    def __init__(
        self,
        tools: Tools,
        reader: LogReader,
        hits: KeptHits,
        *,
        processed: Callable[[Mapping[int, int], float], bool],
        clock: Callable[[], Millis],
    ) -> None:
        self.stopping = threading.Event()
        self._reader = reader
        self._processed = processed
        self._processor = Processor(tools, reader, hits, clock=clock, stopping=self.stopping)

    def recover(self, source: str | None) -> None:
        """Do again what was begun of a replay of this source by a life that ended; to be called before anything else
        of it, or other hits would be in the batch than were before."""
        for partition in unfinished_replays(self._processor.tools.records):
            self._processor.do_again(partition, replay=True, source=source)

    def translate_again(self, partition: int, start: int, until: int, source: str | None) -> tuple[int, int, int]:
        """One batch of the hits from `start` up to `until`, of one source where one is named: where to go on, how many
        hits were looked at, and how many records have another outcome now. Doing so twice changes nothing."""
        self._processed(self._reader.ends(), LIVE_FIRST_S)
        records = within(MAX_BYTES, self._reader.read(partition, start, min(MAX_HITS, until - start)))
        if not records:
            return until, 0, 0
        after = min(until, records[-1].offset + 1)
        hits = of_source(source, self._processor.opened(partition, records))
        changed = self._processor.process([(partition, start, after)], hits, replay=True)
        return after, len(records), changed
