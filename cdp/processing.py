"""Taking batches through the pipeline, however often a store is away meanwhile, and doing again what was cut off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import structlog
from prometheus_client import Counter, Histogram

from cdp.accounting import Refusal, refusals_of
from cdp.batch import LEAD_NOT_CAPTURED, Batch, Found
from cdp.begun import Begun, Range
from cdp.errors import Retryable, StoreUnavailable
from cdp.kept_hits import KeptHits
from cdp.log import LogReader, Record
from cdp.model import Millis, Position
from cdp.pipeline import Tools, process
from cdp.records import reading
from cdp.seen import Place

log = structlog.get_logger()

MAX_HITS = 2_000
MAX_BYTES = 2 * 1024 * 1024
"""Of sealed hits in one batch: keeps a batch of large hits as small in memory as one of many small ones."""

EVENTS = Counter("xunji_events", "Events by outcome", ["outcome"])
BATCH_SECONDS = Histogram("xunji_batch_seconds", "Time of one micro-batch")


class Processor:
    """For one thread. `stopping` ends the wait for a store that is away, which then is raised."""

    def __init__(
        self,
        tools: Tools,
        reader: LogReader,
        hits: KeptHits,
        *,
        clock: Callable[[], Millis],
        stopping: threading.Event,
    ) -> None:
        self.tools = tools
        self._reader = reader
        self._hits = hits
        self._clock = clock
        self._stopping = stopping

    def process(
        self, ranges: Sequence[Range], hits: Sequence[Found], *, replay: bool = False, begun: Begun | None = None
    ) -> int:
        """Take one batch through; how many records got an outcome that they had not. `begun` is what is done again.

        Raises Overtaken where another worker does it now, Retryable only when stopping.
        """
        tools = self.tools
        again = begun is not None
        graph_version = begun.graph_version if begun else tools.identity.version
        while True:
            try:
                # After its hits were read, or the key of a new source would be nobody's.
                tools.sources.refresh()
                tools.seen.turn(tools.records, at=self._clock())
                batch = Batch(
                    list(ranges),
                    list(hits),
                    now=self._clock(),
                    replay=replay,
                    earlier=self._earlier(ranges) if replay else {},
                    graph_version=graph_version,
                    again=again,
                )
                if again:
                    # Evidence that an earlier attempt took in changes nothing now; what it changed must still be told.
                    batch.changed_sets |= tools.identity.sets_moved_since(graph_version)
                with tools.gate.together(), BATCH_SECONDS.time():
                    process(tools, batch)
            except Retryable as error:
                log.warning("batch_waits", reason=str(error))
                if self._stopping.wait(error.retry_after_s):
                    raise
                again = True
            else:
                return _count(batch)

    def do_again(self, partition: int, *, replay: bool = False, source: str | None = None) -> int | None:
        """Do what was begun of a partition, by whomever; the offset after it, None where nothing was. `source` is that
        of the replay, where it has one. Raises as `process` does, and StoreUnavailable where the log is not there."""
        begun = self.tools.notes.take_over(self.tools.records, partition, replay=replay)
        if begun is None:
            return None
        _, start, end = begun.range
        log.info("batch_redone", partition=partition, start=start, end=end, replay=replay)
        hits = of_source(source, self.opened(partition, self._between(partition, start, end)))
        self.process([begun.range], hits, replay=replay, begun=begun)
        return end

    def opened(self, partition: int, records: Sequence[Record]) -> list[Found]:
        return [(Position(partition, record.offset), self._hits.opened(record)) for record in records]

    def _between(self, partition: int, start: int, end: int) -> list[Record]:
        """What retention left of these records."""
        found: list[Record] = []
        while start < end and (some := self._reader.read(partition, start, end - start)):
            found += some
            start = some[-1].offset + 1
        if start < end and self._reader.starts().get(partition, 0) < end:
            # A reader that does not know the partition yet must not make nothing of it.
            raise StoreUnavailable("log", f"partition {partition} gives nothing from {start} up to {end}")
        return [record for record in found if record.offset < end]

    def _earlier(self, ranges: Sequence[Range]) -> Mapping[Place, Refusal]:
        with reading(self.tools.records) as connection:
            found = [refusals_of(connection, *each) for each in ranges]
        # An event whose lead could not be captured is stored all the same, and stays so.
        return {
            place: refusal
            for refusals in found
            for place, refusal in refusals.items()
            if refusal.reason != LEAD_NOT_CAPTURED
        }


def of_source(source: str | None, hits: Sequence[Found]) -> list[Found]:
    """The hits of one source, all of them where none is named."""
    return [(at, hit) for at, hit in hits if source is None or (hit is not None and hit.source == source)]


def _count(batch: Batch) -> int:
    """Add a batch to the metrics; how many of its records have an outcome that they did not have before."""
    EVENTS.labels("stored").inc(len(batch.stored))
    EVENTS.labels("duplicate").inc(len(batch.repeats))
    EVENTS.labels("refused").inc(len(batch.refusals))
    was = {place: refusal.reason for place, refusal in batch.earlier.items()}
    refused = sum(was.get(refusal.place) != refusal.reason for refusal in batch.refusals)
    return len(batch.stored) + len(batch.repeats) + refused
