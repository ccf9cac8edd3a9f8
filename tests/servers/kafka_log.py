"""A log of hits on a topic of its own, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from confluent_kafka import Producer

from cdp.kafka_url import parse_kafka_url
from cdp.log import LogConsumer
from cdp.log_kafka import KafkaLogConsumer, KafkaLogReader, KafkaLogWriter
from cdp.log_kafka.topic import HITS, ensure_topic, open_admin
from cdp.log_notes import rewrite_rows
from cdp.records import open_engine
from tests.real.servers import Kafka

GIGABYTE = 1024 * 1024 * 1024
_numbers = count(1)


class KafkaLog:
    """It is closed by whoever made it; what it opened goes with it."""

    def __init__(self, server: Kafka, folder: Path, *, partitions: int = 1) -> None:
        self.url = f"kafka://{server.address}/test{next(_numbers)}?partitions={partitions}"
        self.spool = folder / "spool"
        self.topic = parse_kafka_url(self.url).topic(HITS)
        self.records = open_engine(f"sqlite:///{folder}/records.db")
        rewrite_rows.create(self.records, checkfirst=True)
        self._created = False
        self._readers: list[KafkaLogReader] = []
        self._consumers: list[KafkaLogConsumer] = []
        self._writers: list[KafkaLogWriter] = []

    def create(self) -> None:
        if not self._created:
            url = parse_kafka_url(self.url)
            ensure_topic(open_admin(url), url)
            self._created = True

    def writer(self, *, limit: int = GIGABYTE) -> KafkaLogWriter:
        """Called in the event loop that it shall use, which also closes it."""
        self._writers.append(KafkaLogWriter(self.url, self.spool, limit_bytes=limit))
        return self._writers[-1]

    def reader(self) -> KafkaLogReader:
        self._readers.append(KafkaLogReader(self.url, self.records))
        return self._readers[-1]

    def consumer(self) -> LogConsumer:
        self._consumers.append(KafkaLogConsumer(self.url))
        return self._consumers[-1]

    def fill(self, partition: int, payloads: Sequence[bytes]) -> None:
        """Durable on return; all are received at the moment 1,000."""
        self.create()
        producer = Producer(
            {
                "bootstrap.servers": parse_kafka_url(self.url).brokers,
                "enable.idempotence": True,
                "message.max.bytes": 32 * 1024 * 1024,
            }
        )
        for payload in payloads:
            producer.produce(self.topic, payload, partition=partition, timestamp=1_000)
        assert producer.flush(30) == 0

    def close(self) -> None:
        for consumer in self._consumers:
            consumer.close()
        for reader in self._readers:
            reader.close()
        self.records.dispose()


async def append_all(writer: KafkaLogWriter, items: Sequence[bytes], *, key: bytes = b"", at: int = 1_000) -> None:
    await asyncio.gather(*(writer.append(item, at, key=key) for item in items))
