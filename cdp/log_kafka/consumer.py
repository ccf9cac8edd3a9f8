"""The worker's end: a member of a consumer group, to learn whose a partition is, that reads from where it is told."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdp.errors import StoreUnavailable
from cdp.kafka_url import KafkaUrl, parse_kafka_url
from cdp.log import Record
from cdp.log_kafka.topic import ASK_S, FULL_MS, HITS, ensure_topic, open_admin, options, translated

log = structlog.get_logger()

WORKERS = "workers"
SESSION_MS, HEARTBEAT_MS = 6_000, 1_000
"""A worker that is silent for so long is taken for dead; the least that brokers allow by default."""
LONGEST_BATCH_MS = 300_000
"""Between two polls; a worker that takes longer, such as behind a store that is away, loses its partitions."""
PREFETCHED_KB = 4_096
PULLED = 2_000
"""Records at once out of the client's own memory."""
HIGH_RECORDS, HIGH_BYTES = 4_000, 4 * 1024 * 1024
"""A partition with so much in hand is fetched no more until half of it is gone, or it would keep the others waiting."""
SLICE_S = 0.05
"""The longest that a wake-up waits to be seen."""
NOTE_S = 5.0
"""Between two notes in the group of how far we are, for those who look at its lag; we never read them."""


class _Held:
    """The records of one begun partition that are fetched and not handed out, the next of which is wanted next."""

    __slots__ = ("next", "noted", "paused", "records", "size")

    def __init__(self, offset: int) -> None:
        self.records: deque[Record] = deque()
        self.size = 0
        self.next = offset
        self.noted = offset
        self.paused = False

    def take(self, count: int, size: int) -> Sequence[Record]:
        taken: list[Record] = []
        while self.records and len(taken) < count:
            size -= len(self.records[0].payload)
            if size < 0 and taken:
                break
            taken.append(self.records.popleft())
            self.size -= len(taken[-1].payload)
        return taken

    def is_full(self) -> bool:
        return len(self.records) >= HIGH_RECORDS or self.size >= HIGH_BYTES

    def has_room(self) -> bool:
        return len(self.records) <= HIGH_RECORDS // 2 and self.size <= HIGH_BYTES // 2


class KafkaLogConsumer:
    """Its partitions come and go while it polls."""

    def __init__(self, url: str) -> None:
        self._url = parse_kafka_url(url)
        self._topic = self._url.topic(HITS)
        self._consumer: Consumer | None = None
        self._closed = False
        self._mine: set[int] = set()
        self._begun: dict[int, _Held] = {}
        self._changed = False
        self._woken = threading.Event()
        self._note_at = 0.0

    def partitions(self) -> frozenset[int]:
        return frozenset(self._mine)

    def waiting(self) -> frozenset[int]:
        return frozenset(self._mine - self._begun.keys())

    def begin(self, partition: int, offset: int) -> None:
        if partition not in self._mine:
            return
        with translated():
            consumer = self._joined()
            self._let_go(consumer, {partition})
            consumer.incremental_assign([self._place(partition, offset)])
        self._begun[partition] = _Held(offset)

    def poll(self, *, records: int, size: int, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        """Where it raises, all partitions wait to be begun again: the client may be past records that it had given."""
        with translated():
            consumer = self._joined()
            try:
                return self._next(consumer, records, size, time.monotonic() + timeout_s)
            except BaseException:
                self._forget(consumer)
                raise

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with translated():
                consumer.close()

    def _joined(self) -> Consumer:
        """The member of the group, which it joins at the first call."""
        if self._closed:
            raise StoreUnavailable("log", "this process has closed it")
        if self._consumer is None:
            ensure_topic(open_admin(self._url), self._url)
            self._consumer = open_member(self._url, self._grumble)
            self._consumer.subscribe([self._topic], on_assign=self._came, on_revoke=self._went, on_lost=self._went)
        return self._consumer

    # Partitions that come and go: what the group gives is fetched only once it is begun.

    def _came(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._mine.update(each.partition for each in partitions)
        consumer.incremental_assign([])
        self._changed = self._changed or bool(partitions)
        if partitions:
            log.info("partitions_came", partitions=sorted(each.partition for each in partitions))

    def _went(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {each.partition for each in partitions}
        self._mine -= gone
        self._let_go(consumer, gone)
        self._changed = True
        log.info("partitions_went", partitions=sorted(gone))

    def _let_go(self, consumer: Consumer, partitions: Collection[int]) -> None:
        """Fetch them no more, whatever became of them before."""
        for each in partitions:
            self._begun.pop(each, None)
        consumer.incremental_unassign([each for each in consumer.assignment() if each.partition in partitions])

    def _forget(self, consumer: Consumer) -> None:
        begun = list(self._begun)
        self._begun.clear()
        # Should they be fetched on, `begin` ends that; until then nobody takes them.
        with suppress(KafkaException):
            self._let_go(consumer, begun)

    # Records, fetched and handed out.

    def _next(self, consumer: Consumer, records: int, size: int, deadline: float) -> Mapping[int, Sequence[Record]]:
        self._changed = False
        self._note(consumer)
        wait_s = 0.0
        while True:
            self._pull(consumer, wait_s)
            self._balance(consumer)
            found = self._shares(records, size)
            left_s = deadline - time.monotonic()
            if found or self._changed or left_s <= 0 or self._woken.is_set():
                self._woken.clear()
                return found
            wait_s = min(SLICE_S, left_s)

    def _pull(self, consumer: Consumer, wait_s: float) -> None:
        """Take what the client has fetched; wait for the first of it."""
        first = consumer.poll(wait_s)
        if first is None:
            return
        for message in (first, *consumer.consume(PULLED, timeout=0)):
            error = message.error()
            if error is None:
                self._hold(message)
            else:
                self._complain(consumer, message, error)

    def _hold(self, message: Message) -> None:
        held = self._begun.get(message.partition())
        offset = message.offset()
        # One that went and came back may still bring what was fetched before.
        if held is not None and offset >= held.next:
            held.next = offset + 1
            # One without a value only fills a place.
            if (payload := message.value()) is not None:
                held.records.append(Record(offset, payload))
                held.size += len(payload)

    def _balance(self, consumer: Consumer) -> None:
        """Fetch no more of a partition with much in hand, until half of it is gone."""
        full = [each for each, held in self._begun.items() if not held.paused and held.is_full()]
        roomy = [each for each, held in self._begun.items() if held.paused and held.has_room()]
        if full:
            consumer.pause([self._place(each) for each in full])
        if roomy:
            consumer.resume([self._place(each) for each in roomy])
        for each in (*full, *roomy):
            self._begun[each].paused = not self._begun[each].paused

    def _shares(self, records: int, size: int) -> dict[int, Sequence[Record]]:
        holding = [each for each, held in self._begun.items() if held.records]
        return {each: self._begun[each].take(max(1, records // len(holding)), size // len(holding)) for each in holding}

    def _complain(self, consumer: Consumer, message: Message, error: KafkaError) -> None:
        if error.code() != KafkaError._AUTO_OFFSET_RESET:
            log.warning("log_complains", reason=error.str())
            return
        partition = message.partition()
        held = self._begun.get(partition)
        if held is None:
            return
        start, end = consumer.get_watermark_offsets(self._place(partition), timeout=ASK_S)
        if held.next > end:
            cause = f"partition {partition} ends at {end}, before {held.next}, as if its topic had been made anew"
            raise StoreUnavailable("log", cause)
        if held.next < start:
            log.warning("records_trimmed_unread", partition=partition, start=held.next, end=start)
            self.begin(partition, start)

    def _grumble(self, error: KafkaError) -> None:
        """Brokers that are away are waited for."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            log.warning("brokers_away", reason=error.str())

    def _note(self, consumer: Consumer) -> None:
        """What was handed out before this poll is processed by now, as far as the group is concerned."""
        if time.monotonic() < self._note_at:
            return
        self._note_at = time.monotonic() + NOTE_S
        done = {each: held.records[0].offset if held.records else held.next for each, held in self._begun.items()}
        moved = [self._place(each, offset) for each, offset in done.items() if offset > self._begun[each].noted]
        if moved:
            consumer.commit(offsets=moved, asynchronous=True)
            for each, offset in done.items():
                self._begun[each].noted = offset

    def _place(self, partition: int, offset: int = -1) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)


def open_member(url: KafkaUrl, complain: Callable[[KafkaError], None]) -> Consumer:
    with translated():
        return Consumer(
            {
                "session.timeout.ms": SESSION_MS,
                "heartbeat.interval.ms": HEARTBEAT_MS,
                "max.poll.interval.ms": LONGEST_BATCH_MS,
                "queued.max.messages.kbytes": PREFETCHED_KB,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": FULL_MS,
                **options(url),
                "error_cb": complain,
                "group.id": url.topic(WORKERS),
                "partition.assignment.strategy": "cooperative-sticky",
                # From where on a partition is read stands in the records store.
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
