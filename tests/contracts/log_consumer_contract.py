"""What every log of hits promises to its workers. An adapter's suite inherits it and gives the fixture `log`."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cdp.log import LogConsumer, LogReader, Record

LONG_S = 30.0
"""A wait that only ends because of what is tested."""
MEGABYTE = 1_000_000


class SharedLog(Protocol):
    """One log of the partitions 0 and 1, empty at first. The fixture closes what the test left open."""

    def fill(self, partition: int, payloads: Sequence[bytes]) -> None:
        """Durable on return; all are received at the moment 1,000."""

    def consumer(self) -> LogConsumer: ...

    def reader(self) -> LogReader: ...


def until(consumer: LogConsumer, reached: Callable[[], bool]) -> None:
    """Poll without taking anything until it is so, which it must be in time."""
    deadline = time.monotonic() + LONG_S
    while not reached():
        assert consumer.poll(records=1, size=1, timeout_s=0.05) == {}
        assert time.monotonic() < deadline


def joined(log: SharedLog) -> LogConsumer:
    """A consumer to whom both partitions have come, and which has begun with neither."""
    consumer = log.consumer()
    until(consumer, lambda: consumer.waiting() == {0, 1})
    return consumer


def take(consumer: LogConsumer, count: int, *, records: int = 100, size: int = MEGABYTE) -> dict[int, list[Record]]:
    """What it hands out until that many records have come."""
    taken: dict[int, list[Record]] = defaultdict(list)
    deadline = time.monotonic() + LONG_S
    while sum(map(len, taken.values())) < count:
        for partition, some in consumer.poll(records=records, size=size, timeout_s=0.5).items():
            assert some
            taken[partition] += some
        assert time.monotonic() < deadline
    return dict(taken)


def numbered(count: int) -> list[bytes]:
    return [b"hit %d" % number for number in range(count)]


class ConsumerContract:
    def test_before_the_first_poll_no_partition_is_ones_own(self, log: SharedLog) -> None:
        consumer = log.consumer()
        assert (consumer.partitions(), consumer.waiting()) == (frozenset(), frozenset())

    def test_a_partition_hands_out_nothing_before_it_is_begun(self, log: SharedLog) -> None:
        log.fill(0, numbered(3))
        consumer = joined(log)
        for _ in range(3):
            assert consumer.poll(records=10, size=MEGABYTE, timeout_s=0.05) == {}
        assert consumer.waiting() == consumer.partitions() == {0, 1}

    def test_a_begun_partition_hands_out_all_from_that_offset_on_in_order(self, log: SharedLog) -> None:
        log.fill(0, numbered(50))
        consumer = joined(log)
        consumer.begin(0, 20)
        assert consumer.waiting() == {1}
        assert take(consumer, 30, records=7) == {0: [Record(n, b"hit %d" % n) for n in range(20, 50)]}
        assert consumer.poll(records=10, size=MEGABYTE, timeout_s=0.05) == {}

    def test_beginning_again_goes_back(self, log: SharedLog) -> None:
        log.fill(0, numbered(50))
        consumer = joined(log)
        consumer.begin(0, 0)
        take(consumer, 10, records=10)
        consumer.begin(0, 5)
        assert [record.offset for record in take(consumer, 45)[0]] == list(range(5, 50))

    def test_partitions_begun_at_different_times_go_on_side_by_side(self, log: SharedLog) -> None:
        log.fill(0, numbered(500))
        log.fill(1, numbered(500))
        consumer = joined(log)
        consumer.begin(0, 0)
        first = take(consumer, 100)
        consumer.begin(1, 0)
        rest = take(consumer, 1_000 - len(first[0]))
        assert [record.offset for record in first[0] + rest[0]] == list(range(500))
        assert [record.offset for record in rest[1]] == list(range(500))

    def test_to_begin_a_partition_that_is_not_ones_own_does_nothing(self, log: SharedLog) -> None:
        log.fill(0, numbered(3))
        consumer = log.consumer()
        consumer.begin(0, 0)
        until(consumer, lambda: consumer.waiting() == {0, 1})
        consumer.begin(7, 0)
        assert consumer.partitions() == {0, 1}

    def test_a_poll_stays_within_its_bounds(self, log: SharedLog) -> None:
        log.fill(0, numbered(1_000))
        log.fill(1, numbered(1_000))
        consumer = joined(log)
        for partition in (0, 1):
            consumer.begin(partition, 0)
        handed = 0
        while handed < 2_000:
            found = consumer.poll(records=60, size=MEGABYTE, timeout_s=LONG_S)
            assert 1 <= sum(map(len, found.values())) <= 60
            handed += sum(map(len, found.values()))

    def test_large_records_come_few_at_a_time_and_one_that_is_too_large_comes_alone(self, log: SharedLog) -> None:
        log.fill(0, [b"x" * 300_000] * 5 + [b"y" * 3 * MEGABYTE] + [b"z"])
        consumer = joined(log)
        consumer.begin(0, 0)
        sizes: list[int] = []
        while len(sizes) < 7:
            found = consumer.poll(records=100, size=MEGABYTE, timeout_s=LONG_S).get(0, [])
            assert sum(len(record.payload) for record in found) <= MEGABYTE or len(found) == 1
            sizes += [len(record.payload) for record in found]
        assert sizes == [300_000] * 5 + [3 * MEGABYTE, 1]

    def test_a_partition_far_behind_does_not_starve_another(self, log: SharedLog) -> None:
        log.fill(0, [b"x" * 700] * 30_000)
        log.fill(1, numbered(20))
        consumer = joined(log)
        consumer.begin(0, 0)
        take(consumer, 1)
        consumer.begin(1, 0)
        taken: dict[int, int] = {0: 0, 1: 0}
        while taken[1] < 20:
            for partition, some in consumer.poll(records=100, size=MEGABYTE, timeout_s=LONG_S).items():
                taken[partition] += len(some)
        assert taken[0] < 20_000

    def test_an_append_ends_a_poll(self, log: SharedLog) -> None:
        consumer = joined(log)
        consumer.begin(0, 0)
        consumer.begin(1, 0)
        for number in range(20):
            appending = threading.Timer(0.002, log.fill, (number % 2, [b"hit"]))
            appending.start()
            assert self._next(consumer) == {number % 2: [Record(number // 2, b"hit")]}
            appending.join()

    def _next(self, consumer: LogConsumer) -> Mapping[int, Sequence[Record]]:
        """A poll may return with nothing, for what happened before it."""
        found: Mapping[int, Sequence[Record]] = {}
        while not found:
            found = consumer.poll(records=10, size=MEGABYTE, timeout_s=LONG_S * 10)
        return found

    def test_waking_ends_a_poll_also_one_that_comes_after(self, log: SharedLog) -> None:
        consumer = joined(log)
        consumer.begin(0, 0)
        consumer.begin(1, 0)
        consumer.wake()
        consumer.poll(records=10, size=MEGABYTE, timeout_s=LONG_S * 10)
        waking = threading.Timer(0.1, consumer.wake)
        waking.start()
        assert consumer.poll(records=10, size=MEGABYTE, timeout_s=LONG_S * 10) == {}
        waking.join()

    def test_a_poll_without_news_returns_by_itself(self, log: SharedLog) -> None:
        consumer = joined(log)
        for _ in range(3):
            assert consumer.poll(records=10, size=MEGABYTE, timeout_s=0.01) == {}

    def test_a_partition_begun_below_what_is_kept_goes_on_at_the_oldest(self, log: SharedLog) -> None:
        log.fill(0, numbered(10))
        log.reader().trim(2_000)
        log.fill(0, [b"kept"])
        consumer = joined(log)
        consumer.begin(0, 4)
        assert take(consumer, 1) == {0: [Record(10, b"kept")]}

    def test_closing_twice_is_as_closing_once(self, log: SharedLog) -> None:
        consumer = joined(log)
        consumer.close()
        consumer.close()
