"""What the log on Kafka does where its brokers or its disk fail halfway, shown without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

import cdp.log_kafka.leaders
import cdp.log_kafka.writer
import cdp.spool
from cdp.errors import StoreUnavailable
from cdp.kafka_url import KafkaUrl, parse_kafka_url
from cdp.log_kafka import KafkaLogConsumer, KafkaLogWriter
from cdp.log_kafka.leaders import Leaders
from cdp.spool import Spool, spool_names

NOWHERE = "kafka://127.0.0.1:1/test"


class Told:
    """What a client hands out: a record, or an error about a partition."""

    def __init__(self, partition: int, offset: int, error: int | None = None) -> None:
        self._partition, self._offset, self._error = partition, offset, error

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return b"hit"

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)


class Client:
    """Hands out one list after another, as if all its partitions were one stream that is fetched once."""

    def __init__(self, *told: list[Told]) -> None:
        self._told = list(told)
        self._rest: list[Told] = []
        self.places: dict[int, int] = {}

    def poll(self, wait_s: float) -> Message | None:
        self._rest = self._told.pop(0) if self._told else []
        return cast(Message, self._rest.pop(0)) if self._rest else None

    def consume(self, count: int, timeout: float) -> Sequence[Told]:
        return self._rest

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("test.hits", each, offset) for each, offset in self.places.items()]

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        for each in places:
            assert each.partition not in self.places, "the client refuses what it has"
            self.places[each.partition] = each.offset

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        for each in places:
            del self.places[each.partition]


def consumer_of(client: Client, *partitions: int) -> KafkaLogConsumer:
    """A member of its group that has begun with these partitions."""
    consumer = KafkaLogConsumer(NOWHERE)
    consumer._consumer = cast(Consumer, client)
    consumer._mine.update(partitions)
    for each in partitions:
        consumer.begin(each, 0)
    return consumer


def test_records_behind_a_question_that_fails_are_fetched_again() -> None:
    unknown = Told(0, -1, KafkaError._AUTO_OFFSET_RESET)
    client = Client([unknown, Told(1, 0), Told(1, 1), Told(1, 2)], [Told(1, 3), Told(1, 4)])
    consumer = consumer_of(client, 0, 1)
    with pytest.raises(StoreUnavailable):
        consumer.poll(records=10, size=1_000, timeout_s=0)
    assert consumer.poll(records=10, size=1_000, timeout_s=0) == {}, "nothing from behind the gap"
    assert consumer.waiting() == {0, 1}
    assert client.places == {}
    consumer.begin(1, 0)
    assert client.places == {1: 0}


def test_partitions_are_begun_again_also_where_the_client_did_not_let_them_go(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([Told(0, -1, KafkaError._AUTO_OFFSET_RESET)])
    consumer = consumer_of(client, 0)

    def refuse(places: list[TopicPartition]) -> None:
        raise KafkaException(KafkaError(KafkaError._STATE))

    with monkeypatch.context() as patched:
        patched.setattr(client, "incremental_unassign", refuse)
        with pytest.raises(StoreUnavailable):
            consumer.poll(records=10, size=1_000, timeout_s=0)
    assert consumer.waiting() == {0}
    consumer.begin(0, 7)
    assert client.places == {0: 7}


def leave(folder: Path, *payloads: bytes) -> None:
    """A spool with these hits, whose collector is dead."""

    async def keep() -> None:
        spool = Spool(folder, "9", limit=1_000)
        for payload in payloads:
            spool.add(1_000, b"", payload, durable=None)
        spool.commit()
        spool.close()

    asyncio.run(keep())


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers of which one hears at once that they are away, and a writer that waits for nothing."""

    def unheard(*asked: object, patience_s: float = 0) -> int:
        raise StoreUnavailable("log", "nobody is there")

    monkeypatch.setattr(cdp.log_kafka.writer, "ensure_topic", unheard)
    monkeypatch.setattr(cdp.log_kafka.writer, "CLOSING_S", 0.0)
    monkeypatch.setattr(cdp.log_kafka.writer, "LOOK_FOR_LEFT_S", 0.0)


async def adopting(folder: Path, *, limit: int) -> KafkaLogWriter:
    """A collector's end that believes its brokers are there, after it looked for what was left."""
    writer = KafkaLogWriter(NOWHERE, folder, limit_bytes=limit)
    writer.spooling = False
    writer.try_again()
    return writer


@pytest.mark.usefixtures("away")
def test_an_adopted_spool_loses_nothing_whatever_the_limit_of_ones_own(tmp_path: Path) -> None:
    leave(tmp_path, b"one", b"two", b"three")

    async def work() -> None:
        writer = await adopting(tmp_path, limit=2)
        assert writer.spooled().hits == 3
        assert spool_names(tmp_path) == [writer.name]
        await writer.close()

    asyncio.run(work())


@pytest.mark.usefixtures("away")
def test_a_left_spool_that_cannot_be_read_is_kept_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, b"one", b"two", b"three")

    async def work() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(cdp.spool, "READ", "SELECT * FROM a_disk_that_fails LIMIT ? OFFSET ?")
            writer = await adopting(tmp_path, limit=1_000)
            assert writer.spooled().hits == 0
            assert set(spool_names(tmp_path)) == {writer.name, "9"}
        writer.try_again()
        assert writer.spooled().hits == 3
        await writer.close()

    asyncio.run(work())


class Clock:
    """Moves only while somebody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


class Answer:
    offset = 5


class Admin:
    """Says that the partition has moved, for so many questions that all its kind are asked."""

    def __init__(self, moving: list[int]) -> None:
        self._moving = moving

    def list_offsets(
        self, asked: dict[TopicPartition, OffsetSpec], *, request_timeout: float
    ) -> dict[TopicPartition, Future[Answer]]:
        answers: dict[TopicPartition, Future[Answer]] = {each: Future() for each in asked}
        for each in answers.values():
            if self._moving[0] > 0:
                self._moving[0] -= 1
                each.set_exception(KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)))
            else:
                each.set_result(Answer())
        return answers


def test_while_a_partition_moves_all_who_ask_share_few_new_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, opened = [0], list[Admin]()

    def open_client(url: KafkaUrl) -> Admin:
        opened.append(Admin(moving))
        return opened[-1]

    monkeypatch.setattr(cdp.log_kafka.leaders, "open_admin", open_client)
    monkeypatch.setattr(cdp.log_kafka.leaders, "time", Clock())
    leaders = Leaders(parse_kafka_url(NOWHERE))
    moving[0] = 3
    assert leaders.offsets([0], OffsetSpec.latest()) == {0: 5}
    assert len(opened) == 4
    old, moving[0] = leaders.admin, 10_000
    with pytest.raises(StoreUnavailable):
        leaders.offsets([0], OffsetSpec.latest())
    assert len(opened) <= 12, "each waits twice as long as the one before"
    leaders._replace(old)
    assert len(opened) <= 12, "another has replaced it already"
