"""The log of hits on a real broker: what every log promises, and what only a topic can show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.log_consumer_contract import ConsumerContract
from tests.contracts.log_contract import LogContract
from tests.real.servers import Kafka
from tests.servers.kafka_log import KafkaLog


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
