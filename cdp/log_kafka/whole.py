"""A topic of hits as a whole, for moving a log: records with their times read in order, and written to a partition of
choice at an offset of choice.

An offset cannot be chosen on brokers, only reached: those before it are filled with records without a value, which
every reader passes over. What is filled before the first hit is deleted; brokers then say of the partition that it
starts there, as they would of one that was trimmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions, OffsetSpec

from cdp.errors import StoreUnavailable
from cdp.kafka_url import KafkaUrl, parse_kafka_url
from cdp.log_kafka.consumer import WORKERS
from cdp.log_kafka.leaders import Leaders
from cdp.log_kafka.reader import READ_S, SLICE_S, open_random_access
from cdp.log_kafka.topic import ASK_S, HITS, LARGEST_BYTES, MAKE_S, ensure_topic, options, translated
from cdp.model import Millis

FILLED = 50_000
"""Records without a value at a time; the client has room for 100,000."""
LONG_AGO = 1
"""What the client takes for a time; for 0 it takes the present."""
FETCHED = 2_000
WRITE_S = 120.0
LOOK_AGAIN_S = 0.2

T = TypeVar("T")


class TopicRecord(NamedTuple):
    """`payload` is None of one that only fills the place."""

    offset: int
    received_at: Millis
    payload: bytes | None


class WholeTopic:
    """The topic of hits of this URL, made where it is missing. Belongs to one thread. Raises StoreUnavailable."""

    def __init__(self, url: str) -> None:
        self._url = parse_kafka_url(url)
        self._topic = self._url.topic(HITS)
        self._leaders = Leaders(self._url)
        self.partitions = ensure_topic(self._leaders.admin, self._url)
        self._producer = _open_producer(self._url)

    def members(self) -> int:
        """How many workers read it now."""
        name = self._url.topic(WORKERS)

        def count() -> int:
            with translated():
                asked = self._leaders.admin.describe_consumer_groups([name], request_timeout=ASK_S)
                return len(asked[name].result(ASK_S * 2).members)

        # At the first question about a group brokers make a topic of their own, and refuse meanwhile.
        return _patiently(count)

    def span(self, partition: int) -> tuple[int, int]:
        """Where it starts and ends; nowhere where there is no such partition."""
        if partition >= self.partitions:
            return 0, 0
        return self._offset(partition, OffsetSpec.earliest()), self._offset(partition, OffsetSpec.latest())

    def read(self, partition: int, start: int) -> Iterator[TopicRecord]:
        """All from that offset on that are there by now."""
        first, end = self.span(partition)
        start = max(start, first)
        if start >= end:
            return
        with translated(), closing(open_random_access(self._url)) as consumer:
            consumer.assign([TopicPartition(self._topic, partition, start)])
            heard = time.monotonic()
            while start < end:
                messages = consumer.consume(min(FETCHED, end - start), timeout=SLICE_S)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > READ_S:
                    raise StoreUnavailable("log", f"the brokers sent nothing of partition {partition} for {READ_S} s")
                for message in messages:
                    record = _record(message)
                    start = record.offset + 1
                    if record.offset < end:
                        yield record

    def grow(self, partitions: int) -> None:
        """To so many partitions, if there are fewer."""
        if partitions <= self.partitions:
            return
        with translated():
            wanted = [NewPartitions(self._topic, partitions)]
            made = self._leaders.admin.create_partitions(wanted, request_timeout=MAKE_S)
            made[self._topic].result(MAKE_S * 2)
        self.partitions = partitions
        # Those that know the topic go on to believe that it has fewer.
        self._leaders, self._producer = Leaders(self._url), _open_producer(self._url)

    def write(self, partition: int, first: int, records: Sequence[tuple[Millis, bytes]]) -> None:
        """Put these at the offsets from `first` on, which must not be taken yet. Of one that raises the beginning may
        be there."""
        end = self.span(partition)[1]
        if end < first:
            self._fill(partition, end, first)
            end = first
        self._produce(partition, records)
        if (found := self.span(partition)[1]) != end + len(records):
            cause = f"partition {partition} of {self._topic} ends at {found} and not at {end + len(records)}"
            raise StoreUnavailable("log", f"{cause}: somebody else writes to it")

    def _fill(self, partition: int, end: int, first: int) -> None:
        # As old as what is before it, so that by their times the same records are found as without it.
        filled_at = next((each.received_at for each in self.read(partition, end - 1)), LONG_AGO)
        for start in range(end, first, FILLED):
            self._produce(partition, [(filled_at, None)] * min(FILLED, first - start))

    def start_at(self, partition: int, offset: int) -> None:
        """Delete what is before that offset."""
        if self.span(partition)[0] < offset:
            self._leaders.delete_before({partition: offset})

    def close(self) -> None:
        self._producer.flush(0)

    def _offset(self, partition: int, spec: OffsetSpec) -> int:
        # Of a partition that was made just now its broker does not know yet.
        return _patiently(lambda: self._leaders.offsets([partition], spec)[partition])

    def _produce(self, partition: int, records: Sequence[tuple[Millis, bytes | None]]) -> None:
        failed: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error.str())

        with translated():
            for at, payload in records:
                self._producer.produce(
                    self._topic, payload, partition=partition, timestamp=at, on_delivery=delivered if payload else None
                )
            left = self._producer.flush(WRITE_S)
        if failed or left:
            raise StoreUnavailable("log", failed[0] if failed else "the brokers took not all records in time")


def _open_producer(url: KafkaUrl) -> Producer:
    musts = {"enable.idempotence": True, "message.max.bytes": LARGEST_BYTES}
    with translated():
        return Producer({"compression.type": "lz4", **options(url), **musts})


def _patiently(ask: Callable[[], T]) -> T:
    """The answer of brokers that are still making what is asked for."""
    deadline = time.monotonic() + MAKE_S
    while True:
        try:
            return ask()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_S)


def _record(message: Message) -> TopicRecord:
    if (error := message.error()) is not None:
        raise KafkaException(error)
    return TopicRecord(message.offset() or 0, message.timestamp()[1], message.value())
