"""The log of hits on a real broker: what every log promises, and what only a topic can show."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType

import cdp.log_kafka.reader
from cdp.errors import ConfigurationError, StoreUnavailable
from cdp.imports_jobs import Job, State
from cdp.imports_log import LotWriter, hit_of, written
from cdp.kafka_url import parse_kafka_url
from cdp.kept_hits import KeptHits
from cdp.log import LogConsumer, Record
from cdp.log_kafka import KafkaLogWriter
from cdp.log_kafka.topic import LARGEST_BYTES, ensure_topic, open_admin
from cdp.log_notes import rewrite_rows
from cdp.model import Hit, Position
from cdp.records import reading
from collectors.columns import RowKind
from tests.contracts.log_consumer_contract import ConsumerContract
from tests.contracts.log_contract import LONG_S, LogContract, fill, run
from tests.real.servers import Kafka
from tests.servers.kafka_log import KafkaLog

SECRET = b"s" * 32


@pytest.fixture
def log(kafka: Kafka, tmp_path: Path) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka, tmp_path)
    yield log
    log.close()


@pytest.fixture
def wide_log(kafka: Kafka, tmp_path: Path) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka, tmp_path, partitions=2)
    yield log
    log.close()


class TestKafkaLog(LogContract):
    """The whole contract."""


class TestKafkaConsumer(ConsumerContract):
    @pytest.fixture
    def log(self, wide_log: KafkaLog) -> KafkaLog:
        return wide_log


def test_a_hit_of_15_megabytes_is_kept_and_read(log: KafkaLog) -> None:
    payload = bytes(range(256)) * 60_000

    async def work() -> Position | None:
        writer = log.writer()
        position = await writer.append(payload, 1_000)
        await writer.close()
        return position

    assert run(work()) == Position(0, 0)
    assert log.reader().read(0, 0, 10) == [Record(0, payload)]


def test_hits_with_one_key_lie_in_one_partition_and_many_keys_in_all(kafka: Kafka, tmp_path: Path) -> None:
    log = KafkaLog(kafka, tmp_path, partitions=4)

    async def work() -> dict[int, set[int]]:
        writer = log.writer()
        found: dict[int, set[int]] = defaultdict(set)
        for number in range(400):
            position = await writer.append(b"hit", 1_000, key=(number % 100).to_bytes(2, "big"))
            assert position is not None
            found[number % 100].add(position.partition)
        await writer.close()
        return found

    found = run(work())
    assert all(len(partitions) == 1 for partitions in found.values())
    assert set.union(*found.values()) == {0, 1, 2, 3}
    log.close()


def test_a_collector_with_a_clock_a_day_ahead_is_heard(log: KafkaLog) -> None:
    tomorrow = (int(time.time()) + 86_400) * 1_000
    fill(log, [tomorrow])
    assert log.reader().seek(0, tomorrow) == 0


def test_trimming_forgets_what_was_rewritten_before(log: KafkaLog) -> None:
    fill(log, [1_000, 2_000, 3_000])
    reader = log.reader()
    for offset in (0, 2):
        reader.rewrite(Position(0, offset), b"redacted")
    reader.trim(2_500)
    assert reader.read(0, 0, 10) == [Record(2, b"redacted")]
    with reading(log.records) as connection:
        assert [row.offset for row in connection.execute(rewrite_rows.select())] == [2]


@pytest.mark.parametrize(("setting", "value"), [("max.message.bytes", "1048588"), ("cleanup.policy", "compact")])
def test_a_topic_that_would_lose_hits_is_refused_in_one_sentence(log: KafkaLog, setting: str, value: str) -> None:
    admin = open_admin(parse_kafka_url(log.url))
    admin.create_topics([NewTopic(log.topic, 1, 1, config={"max.message.bytes": str(LARGEST_BYTES), setting: value})])[
        log.topic
    ].result()
    with pytest.raises(ConfigurationError, match=f"XUNJI_LOG_URL is the topic {log.topic}, whose {setting} is {value}"):
        run(refused(log))


async def refused(log: KafkaLog) -> None:
    KafkaLogWriter(log.url, None)


def test_a_topic_of_another_maker_is_taken_as_it_is(log: KafkaLog) -> None:
    admin = open_admin(parse_kafka_url(log.url))
    settings = {"max.message.bytes": str(64 * 1024 * 1024), "retention.ms": "86400000"}
    admin.create_topics([NewTopic(log.topic, 3, 1, config=settings)])[log.topic].result()
    deadline = time.monotonic() + LONG_S
    while ensure_topic(admin, parse_kafka_url(log.url)) != 3:
        assert time.monotonic() < deadline
    resource = ConfigResource(ResourceType.TOPIC, log.topic)
    kept: dict[str, ConfigEntry] = admin.describe_configs([resource])[resource].result()
    assert kept["retention.ms"].value == "86400000"


def test_partitions_that_are_added_are_read_by_those_who_knew_fewer(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.fill(0, [b"old"])
    asked, counting = log.reader(), log.reader()
    for reader in (asked, counting):
        assert reader.ends() == {0: 1}
        assert reader.read(0, 0, 10) == [Record(0, b"old")]
    admin = open_admin(parse_kafka_url(log.url))
    admin.create_partitions([NewPartitions(log.topic, 2)])[log.topic].result()
    log.fill(1, [b"new"])
    assert asked.read(1, 0, 10) == [Record(0, b"new")]
    assert asked.read(7, 0, 10) == []
    monkeypatch.setattr(cdp.log_kafka.reader, "COUNTED_S", 0.0)
    assert counting.ends() == {0: 1, 1: 1}


def test_partitions_that_are_added_are_filled_and_taken_without_a_restart(log: KafkaLog) -> None:
    log.url += "&topic.metadata.refresh.interval.ms=500"
    log.fill(0, [b"old"])
    consumer = log.consumer()
    deadline = time.monotonic() + LONG_S
    while consumer.partitions() != {0}:
        consumer.poll(records=10, size=1_000, timeout_s=0.1)
        assert time.monotonic() < deadline

    async def work() -> None:
        writer = log.writer()
        await writer.append(b"hit", 1_000)
        admin = open_admin(parse_kafka_url(log.url))
        admin.create_partitions([NewPartitions(log.topic, 2)])[log.topic].result()
        async with asyncio.timeout(LONG_S):
            while (await writer.append(b"hit", 1_000) or Position(0, 0)).partition != 1:
                await asyncio.sleep(0.01)
        await writer.close()

    run(work())
    while consumer.partitions() != {0, 1}:
        consumer.poll(records=10, size=1_000, timeout_s=0.1)
        assert time.monotonic() < deadline
    consumer.begin(1, 0)
    while not (found := consumer.poll(records=10, size=1_000, timeout_s=0.1)):
        assert time.monotonic() < deadline
    assert found[1][0] == Record(0, b"hit")


def test_a_setting_that_no_client_knows_is_refused_in_one_sentence(log: KafkaLog) -> None:
    with pytest.raises(ConfigurationError, match="XUNJI_LOG_URL is refused: No such configuration property"):
        open_admin(parse_kafka_url(log.url + "&socket.color=blue"))


def test_a_partition_that_ends_before_what_is_processed_is_refused(log: KafkaLog) -> None:
    log.fill(0, [b"hit"] * 3)
    consumer = log.consumer()
    deadline = time.monotonic() + LONG_S
    while not consumer.waiting():
        consumer.poll(records=10, size=1_000, timeout_s=0.1)
        assert time.monotonic() < deadline
    consumer.begin(0, 50)
    with pytest.raises(StoreUnavailable, match="partition 0 ends at 3, before 50"):
        poll_until(consumer, deadline)


def poll_until(consumer: LogConsumer, deadline: float) -> None:
    while time.monotonic() < deadline:
        assert consumer.poll(records=10, size=1_000, timeout_s=0.1) == {}


@pytest.mark.timeout(180)
def test_a_hit_that_the_brokers_refuse_stays_in_the_spool_until_they_take_it(log: KafkaLog) -> None:
    log.create()
    admin = open_admin(parse_kafka_url(log.url))

    def allow(size: int) -> None:
        wanted = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(ResourceType.TOPIC, log.topic, incremental_configs=[wanted])
        admin.incremental_alter_configs([topic])[topic].result()

    async def work() -> None:
        writer = log.writer()
        assert await writer.append(b"before", 1_000) is not None
        await asyncio.to_thread(allow, 1_000_000)
        async with asyncio.timeout(LONG_S):
            while await writer.append(b"x" * 2_000_000, 1_000) is not None:
                await asyncio.sleep(0.1)
        assert await writer.append(b"after", 1_000) is None
        assert not writer.healthy()
        # For as long as some more attempts take.
        await asyncio.sleep(3.5)
        await asyncio.to_thread(allow, LARGEST_BYTES)
        async with asyncio.timeout(LONG_S):
            while writer.spooling:
                await asyncio.sleep(0.01)
        assert writer.healthy()
        assert await writer.append(b"at last", 1_000) is not None
        await writer.close()

    run(work())
    kept = [record.payload[:10] for record in log.reader().read(0, 0, 1_000)]
    assert set(kept) == {b"before", b"x" * 10, b"after", b"at last"}
    assert kept.count(b"after") <= 2, "what lies behind it is not sent with each attempt"


def test_a_lot_of_an_import_is_found_again_in_whichever_partition_it_lies(kafka: Kafka, tmp_path: Path) -> None:
    log = KafkaLog(kafka, tmp_path, partitions=3)
    reader = log.reader()
    kept = KeptHits(reader, SECRET)
    job = Job(
        id="im_1",
        source="crm",
        file="people.csv",
        kind=RowKind.PEOPLE,
        by="admin",
        state=State.RUNNING,
        requested_at=1_000,
        writing=reader.ends(),
    )
    hit = hit_of(job, [], capture_events=(), at=1_000)
    assert written(job, hit, reader, kept.open_payload) is None
    with LotWriter(lambda: KafkaLogWriter(log.url, None), SECRET) as writer:
        positions = {writer.append(msgspec.structs.replace(hit, target=f"/imports/im_1?chunk={n}")) for n in range(9)}
        assert written(job, hit_of_chunk(job, 4), reader, kept.open_payload) in positions
    log.close()


def hit_of_chunk(job: Job, chunk: int) -> Hit:
    return hit_of(msgspec.structs.replace(job, chunk=chunk), [], capture_events=(), at=1_000)


class Worker(threading.Thread):
    """Takes what it is given from where the positions say, and moves these as the records store would."""

    def __init__(self, consumer: LogConsumer, positions: dict[int, int], taken: list[tuple[int, int, bytes]]) -> None:
        super().__init__(daemon=True)
        self.consumer, self.positions, self.taken = consumer, positions, taken
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            for partition in self.consumer.waiting():
                self.consumer.begin(partition, self.positions[partition])
            for partition, records in self.consumer.poll(records=50, size=1_000_000, timeout_s=0.2).items():
                # Who was overtaken is refused, as by the records store.
                if self.positions[partition] == records[0].offset:
                    self.positions[partition] = records[-1].offset + 1
                    self.taken += [(partition, *record) for record in records]
        self.consumer.close()

    def end(self) -> None:
        self.ended.set()
        self.consumer.wake()
        self.join(LONG_S)
        assert not self.is_alive()


@pytest.mark.timeout(300)
def test_workers_that_come_and_go_hand_out_every_record_in_order(kafka: Kafka, tmp_path: Path) -> None:
    log = KafkaLog(kafka, tmp_path, partitions=4)
    positions = dict.fromkeys(range(4), 0)
    taken: list[tuple[int, int, bytes]] = []
    workers = [Worker(log.consumer(), positions, taken)]
    appended = Counter[int]()

    def fill_all(count: int) -> None:
        for partition in positions:
            log.fill(partition, [b"hit"] * count)
            appended[partition] += count

    def all_taken() -> None:
        deadline = time.monotonic() + LONG_S
        while positions != appended:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    fill_all(2_000)
    workers[0].start()
    for _ in range(2):
        workers.append(Worker(log.consumer(), positions, taken))
        workers[-1].start()
        fill_all(2_000)
        deadline = time.monotonic() + LONG_S
        while not workers[-1].consumer.partitions():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    all_taken()
    shares = [worker.consumer.partitions() for worker in workers]
    assert sorted(partition for share in shares for partition in share) == [0, 1, 2, 3]
    workers.pop(0).end()
    fill_all(1_000)
    all_taken()
    for worker in workers:
        worker.end()
    for partition in positions:
        assert [offset for each, offset, _ in taken if each == partition] == list(range(7_000))
    log.close()
