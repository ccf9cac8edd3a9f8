"""The log of hits while its broker dies, is away and comes back: nothing that was answered is lost, and order holds."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

import cdp.log_kafka.writer
from cdp.errors import LogFull, StoreUnavailable
from cdp.log import NOTHING_SPOOLED, LogReader, Record
from cdp.log_kafka import KafkaLogWriter
from cdp.log_kafka.writer import FORWARDED_HITS
from cdp.model import Position
from cdp.spool import spool_names
from tests.real.servers import Kafka
from tests.servers.kafka_log import KafkaLog

T = TypeVar("T")

LONG_S = 90.0
KEYS = 20

pytestmark = pytest.mark.timeout(300)


class Loop:
    """An event loop in a thread, because the broker belongs to the test's own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.begin(work).result(LONG_S)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[[], T]) -> T:
        async def work() -> T:
            return function()

        return self.do(work())

    def close(self) -> None:
        self.do(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def log(kafka: Kafka, tmp_path: Path) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka, tmp_path, partitions=3)
    log.create()
    yield log
    log.close()


@contextmanager
def away(kafka: Kafka) -> Iterator[None]:
    kafka.stop()
    try:
        yield
    finally:
        kafka.start()


class Senders:
    """Each sends up to 200 hits a second with a key of its own, and all remember what was answered."""

    def __init__(self, writer: KafkaLogWriter) -> None:
        self._writer = writer
        self.answered: list[bytes] = []
        self.unplaced = 0
        self.ended = False

    async def send(self, key: int) -> None:
        for turn in itertools.count():
            if self.ended:
                return
            position = await self._writer.append(b"%d %d" % (key, turn), 1_000, key=b"%d" % key)
            self.answered.append(b"%d %d" % (key, turn))
            self.unplaced += position is None
            await asyncio.sleep(0.005)


async def append_turns(writer: KafkaLogWriter, turns: range) -> list[Position | None]:
    return [await writer.append(b"0 %d" % turn, 1_000, key=b"0") for turn in turns]


def reached(enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not enough():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def everything(log: KafkaLog) -> list[bytes]:
    """What the log holds, each partition in its order."""
    reader = log.reader()
    return [record.payload for partition in reader.ends() for record in reader.read(partition, 0, 10_000_000)]


def first_times(payloads: list[bytes]) -> list[bytes]:
    return list(dict.fromkeys(payloads))


def turns_of(payloads: list[bytes]) -> dict[bytes, list[int]]:
    turns: dict[bytes, list[int]] = defaultdict(list)
    for payload in payloads:
        key, turn = payload.split()
        turns[key].append(int(turn))
    return turns


def in_order(payloads: list[bytes]) -> bool:
    """Whether each key's turns came one after another, none left out."""
    return all(each == list(range(len(each))) for each in turns_of(payloads).values())


def test_nothing_is_lost_and_order_holds_though_the_broker_is_killed_again_and_again(
    kafka: Kafka, log: KafkaLog, loop: Loop
) -> None:
    chance = random.Random(20261126)
    writer = loop.call(log.writer)
    senders = Senders(writer)
    sending = [loop.begin(senders.send(key)) for key in range(KEYS)]
    for _ in range(3):
        time.sleep(chance.uniform(0.2, 1.0))
        kafka.kill()
        answered = len(senders.answered)
        reached(lambda before=answered: len(senders.answered) > before + 500)  # type: ignore[misc]
        assert writer.healthy()
        kafka.start()
    senders.ended = True
    for each in sending:
        each.result(LONG_S)
    reached(lambda: not writer.spooling)
    loop.do(writer.close())
    kept = everything(log)
    assert senders.unplaced > 1_000
    assert sorted(first_times(kept)) == sorted(senders.answered)
    assert in_order(first_times(kept))
    under_way = KEYS + 2 * FORWARDED_HITS
    assert len(kept) - len(senders.answered) <= 3 * under_way, "only what was under way may come twice"


def test_what_came_while_the_broker_was_away_is_forwarded_in_order_behind_what_came_before(
    kafka: Kafka, log: KafkaLog, loop: Loop
) -> None:
    writer = loop.call(log.writer)
    assert None not in loop.do(append_turns(writer, range(10)))
    with away(kafka):
        assert loop.do(append_turns(writer, range(10, 200))) == [None] * 190
        assert writer.spooled() == (190, sum(len(b"0 %d" % turn) for turn in range(10, 200)))
    reached(lambda: not writer.spooling)
    assert writer.spooled() == NOTHING_SPOOLED
    assert None not in loop.do(append_turns(writer, range(200, 201)))
    loop.do(writer.close())
    kept = everything(log)
    assert in_order(kept)
    assert len(kept) == 201


def test_a_collector_starts_and_takes_hits_while_no_broker_is_there(kafka: Kafka, tmp_path: Path, loop: Loop) -> None:
    log = KafkaLog(kafka, tmp_path, partitions=3)
    with away(kafka):
        writer = loop.call(log.writer)
        assert loop.do(append_turns(writer, range(5))) == [None] * 5
        assert writer.healthy()
    reached(lambda: not writer.spooling)
    loop.do(writer.close())
    assert everything(log) == [b"0 %d" % turn for turn in range(5)]
    log.close()


def test_a_full_spool_refuses_hits_until_the_broker_is_back(kafka: Kafka, log: KafkaLog, loop: Loop) -> None:
    writer = loop.call(lambda: log.writer(limit=10_000))

    async def send(payload: bytes) -> Position | None:
        return await writer.append(payload, 1_000)

    with away(kafka):
        for _ in range(10):
            loop.do(send(b"x" * 1_000))
        with pytest.raises(LogFull, match="spool"):
            loop.do(send(b"refused"))
        assert writer.healthy()
    reached(lambda: not writer.spooling)
    assert loop.do(send(b"again")) is not None
    loop.do(writer.close())
    assert sorted(everything(log)) == [b"again"] + [b"x" * 1_000] * 10


def test_what_a_closed_collector_could_not_forward_is_forwarded_by_the_next_in_its_place(
    kafka: Kafka, log: KafkaLog, monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    monkeypatch.setattr(cdp.log_kafka.writer, "CLOSING_S", 0.1)
    first = loop.call(log.writer)
    with away(kafka):
        loop.do(append_turns(first, range(50)))
        loop.do(first.close())
    second = loop.call(log.writer)
    assert second.name == first.name
    assert second.spooled().hits == 50
    assert loop.do(append_turns(second, range(50, 51))) == [None]
    reached(lambda: not second.spooling)
    loop.do(second.close())
    kept = first_times(everything(log))
    assert in_order(kept)
    assert len(kept) == 51


def test_the_spool_of_a_collector_that_was_taken_away_is_forwarded_by_another(
    kafka: Kafka, log: KafkaLog, monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    monkeypatch.setattr(cdp.log_kafka.writer, "CLOSING_S", 0.1)
    monkeypatch.setattr(cdp.log_kafka.writer, "LOOK_FOR_LEFT_S", 0.1)
    monkeypatch.setattr(cdp.log_kafka.writer, "FORWARDED_BYTES", 1_000)
    one, other = loop.call(log.writer), loop.call(log.writer)
    assert (one.name, other.name) == ("0", "1")
    with away(kafka):
        loop.do(append_turns(other, range(500)))
        loop.do(other.close())

    def adopted() -> bool:
        loop.call(one.try_again)
        return spool_names(log.spool) == ["0"]

    reached(adopted)
    reached(lambda: not one.spooling)
    loop.do(one.close())
    kept = first_times(everything(log))
    assert in_order(kept)
    assert len(kept) == 500


def test_a_collector_killed_at_any_moment_keeps_what_it_answered(kafka: Kafka, log: KafkaLog, loop: Loop) -> None:
    """Killed while it appends, while it spools, and while it forwards; each next one begins where the last was."""
    chance = random.Random(7)
    answered: list[bytes] = []

    def live(first: int, *, answers: int) -> None:
        """One life, which ends soon after so many answers."""
        command = [sys.executable, "-m", "tests.servers.kafka_collector", log.url, str(log.spool), "8", str(first)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(answers)]
        threading.Timer(chance.uniform(0, 0.05), child.send_signal, [signal.SIGKILL]).start()
        lines += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        answered.extend(line.strip().encode() for line in lines if line.endswith("\n"))

    live(0, answers=500)
    kafka.kill()
    try:
        live(1_000_000, answers=1)
        live(2_000_000, answers=1_000)
    finally:
        kafka.start()
    for life in range(3, 6):
        live(life * 1_000_000, answers=1)
    writer = loop.call(log.writer)
    reached(lambda: not writer.spooling)
    loop.do(writer.close())
    kept = everything(log)
    assert len(answered) > 1_500
    assert set(answered) <= set(kept)
    assert all(each == sorted(each) for each in turns_of(first_times(kept)).values())


def test_a_reader_and_a_consumer_go_on_after_the_broker_was_killed_and_after_it_stood_still(
    kafka: Kafka, log: KafkaLog
) -> None:
    log.fill(0, [b"0", b"1"])
    reader, consumer = log.reader(), log.consumer()
    seen: list[Record] = []

    def all_seen() -> bool:
        for partition in consumer.waiting():
            consumer.begin(partition, 0 if partition else len(seen))
        seen.extend(consumer.poll(records=10, size=1_000, timeout_s=0.1).get(0, []))
        return len(seen) == log_ends(reader)

    reached(all_seen)
    kafka.kill()
    assert consumer.poll(records=10, size=1_000, timeout_s=0.1) == {}
    kafka.start()
    log.fill(0, [b"2"])
    reached(all_seen)
    assert kafka.process is not None
    kafka.process.send_signal(signal.SIGSTOP)
    # Longer than the controller waits for a broker before it gives its partitions to nobody.
    time.sleep(4)
    kafka.process.send_signal(signal.SIGCONT)
    log.fill(0, [b"3"])
    reached(all_seen)
    assert seen == reader.read(0, 0, 10) == [Record(n, b"%d" % n) for n in range(4)]
    assert (reader.trim(2_000), reader.starts()[0]) == (4, 4)


def log_ends(reader: LogReader) -> int | None:
    """None while the broker is not quite back."""
    try:
        return reader.ends()[0]
    except StoreUnavailable:
        return None


def test_without_a_spool_an_append_that_takes_too_long_may_be_tried_again(
    kafka: Kafka, log: KafkaLog, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_writer() -> KafkaLogWriter:
        return KafkaLogWriter(log.url, None)

    with monkeypatch.context() as patched:
        patched.setattr(cdp.log_kafka.writer, "PATIENT_S", 1.0)
        patched.setattr(cdp.log_kafka.writer, "CLOSING_S", 0.1)
        writer = loop.do(open_writer())
        with away(kafka):
            for turn in (0, 1):
                with pytest.raises(StoreUnavailable):
                    loop.do(append_turns(writer, range(turn, turn + 1)))
            loop.do(writer.close())
    writer = loop.do(open_writer())
    assert None not in loop.do(append_turns(writer, range(2, 3)))
    loop.do(writer.close())
    assert b"0 2" in everything(log)
