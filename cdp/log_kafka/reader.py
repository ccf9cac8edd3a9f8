"""The reading end: any record by its position, and what a topic cannot do itself.

A record in a topic cannot be changed. One that is rewritten is kept in the records store, and every read shows that
in its place; its bytes in the topic stay until they are trimmed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Lock

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from sqlalchemy import Engine, or_, select

from cdp.errors import StoreUnavailable
from cdp.kafka_url import KafkaUrl, parse_kafka_url
from cdp.log import Record
from cdp.log_kafka.leaders import Leaders
from cdp.log_kafka.topic import FULL_MS, HITS, count_partitions, ensure_topic, options, translated
from cdp.log_notes import rewrite_rows
from cdp.model import Millis, Position
from cdp.records import reading, writing

READ_S = 10.0
"""For the next record of a read; longer, and the brokers count as away."""
SLICE_S = 1.0
IDLE_READERS = 4
NOWHERE = -1
COUNTED_S = 10.0
"""For which a count of the partitions is good."""


class KafkaLogReader:
    """Reaches for the brokers when it is first asked. Raises StoreUnavailable."""

    def __init__(self, url: str, records: Engine) -> None:
        self._url = parse_kafka_url(url)
        self._topic = self._url.topic(HITS)
        self._records = records
        self._leaders = Leaders(self._url)
        self._count = 0
        self._counted_at = 0.0
        self._counting = Lock()
        self._idle: deque[Consumer] = deque()
        self._closed = False

    def ends(self) -> dict[int, int]:
        return self._leaders.offsets(self._partitions(), OffsetSpec.latest())

    def starts(self) -> dict[int, int]:
        return self._leaders.offsets(self._partitions(), OffsetSpec.earliest())

    def read(self, partition: int, start: int, limit: int) -> Sequence[Record]:
        if not self._has(partition):
            return []
        first, end = self._span(partition)
        start = max(start, first)
        found: list[Record] = []
        while start < end and not found:
            found = self._fetch(partition, start, min(end, start + limit))
            start += limit
        return self._overlaid(partition, found)

    def seek(self, partition: int, at: Millis) -> int:
        return self._seek([partition], at)[partition] if self._has(partition) else 0

    def trim(self, before: Millis) -> int:
        starts = self.starts()
        kept = {each: offset for each, offset in self._seek(starts, before).items() if offset > starts[each]}
        if kept:
            self._delete(kept)
        return sum(offset - starts[each] for each, offset in kept.items())

    def rewrite(self, position: Position, payload: bytes) -> None:
        """A record that is not kept any more is let be."""
        if not self._has(position.partition):
            return
        first, end = self._span(position.partition)
        if first <= position.offset < end:
            place = rewrite_rows.c.partition == position.partition, rewrite_rows.c.offset == position.offset
            with writing(self._records) as connection:
                connection.execute(rewrite_rows.delete().where(*place))
                connection.execute(rewrite_rows.insert().values(**position._asdict(), payload=payload))

    def purge(self) -> None:
        """There is nothing that could be done: the brokers forget with the retention."""

    def close(self) -> None:
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        # Another thread may take the last of them meanwhile.
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _has(self, partition: int) -> bool:
        return partition in self._partitions() or partition in self._partitions(anew=True)

    def _partitions(self, *, anew: bool = False) -> range:
        """As counted a moment ago, for more may be added at any time."""
        now = time.monotonic()
        if not self._count:
            with self._counting:
                self._count = ensure_topic(self._leaders.admin, self._url)
            self._counted_at = now
        elif anew or now - self._counted_at > COUNTED_S:
            self._grow(count_partitions(self._leaders.admin, self._url))
            self._counted_at = now
        return range(self._count)

    def _grow(self, count: int) -> None:
        if count > self._count:
            # Clients that know the topic go on to believe that it has fewer.
            self._leaders = Leaders(self._url)
            self._close_idle()
            self._count = count

    def _span(self, partition: int) -> tuple[int, int]:
        """Where a partition starts and ends."""
        specs = OffsetSpec.earliest(), OffsetSpec.latest()
        first, end = (self._leaders.offsets([partition], each)[partition] for each in specs)
        return first, end

    def _seek(self, partitions: Iterable[int], at: Millis) -> dict[int, int]:
        # The ends first: where no record is that late, one that comes meanwhile may be.
        ends = self._leaders.offsets(partitions, OffsetSpec.latest())
        found = self._leaders.offsets(ends, OffsetSpec.for_timestamp(at))
        return {each: ends[each] if offset == NOWHERE else offset for each, offset in found.items()}

    def _delete(self, kept: Mapping[int, int]) -> None:
        self._leaders.delete_before(kept)
        below = [(rewrite_rows.c.partition == each) & (rewrite_rows.c.offset < offset) for each, offset in kept.items()]
        with writing(self._records) as connection:
            connection.execute(rewrite_rows.delete().where(or_(*below)))

    def _fetch(self, partition: int, start: int, end: int) -> list[Record]:
        """The records from `start` up to `end`, which are there unless they are trimmed meanwhile."""
        found: list[Record] = []
        silent_s = 0.0
        with translated(), self._consumer() as consumer:
            consumer.assign([TopicPartition(self._topic, partition, start)])
            while start < end:
                messages = consumer.consume(end - start, timeout=SLICE_S)
                silent_s = 0.0 if messages else silent_s + SLICE_S
                if silent_s >= READ_S:
                    raise StoreUnavailable("log", f"the brokers sent nothing of partition {partition} for {READ_S} s")
                for message in messages:
                    if (error := message.error()) is not None:
                        raise KafkaException(error)
                    start = message.offset() + 1
                    # One without a value fills the place of one that was trimmed before the log was moved here.
                    if start <= end and (payload := message.value()) is not None:
                        found.append(Record(start - 1, payload))
        return found

    def _overlaid(self, partition: int, records: Sequence[Record]) -> Sequence[Record]:
        if not records:
            return records
        span = rewrite_rows.c.offset.between(records[0].offset, records[-1].offset)
        wanted = select(rewrite_rows.c.offset, rewrite_rows.c.payload).where(
            rewrite_rows.c.partition == partition, span
        )
        with reading(self._records) as connection:
            rewritten = {row.offset: row.payload for row in connection.execute(wanted)}
        if not rewritten:
            return records
        return [Record(each.offset, rewritten.get(each.offset, each.payload)) for each in records]

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        """One that no other thread uses meanwhile."""
        try:
            consumer = self._idle.pop()
        except IndexError:
            consumer = open_random_access(self._url)
        try:
            yield consumer
        except BaseException:
            consumer.close()
            raise
        consumer.unassign()
        if self._closed or len(self._idle) >= IDLE_READERS:
            consumer.close()
        else:
            self._idle.append(consumer)


def open_random_access(url: KafkaUrl) -> Consumer:
    return Consumer(
        {
            "fetch.wait.max.ms": 10,
            "queued.min.messages": 1_000,
            "fetch.queue.backoff.ms": FULL_MS,
            **options(url),
            # It joins no group; the name is only asked for.
            "group.id": url.topic("readers"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
