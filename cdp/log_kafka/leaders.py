"""What only the broker that leads a partition can answer, asked of whoever leads it by now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from cdp.kafka_url import KafkaUrl
from cdp.log_kafka.topic import ASK_S, HITS, LOOK_S, code_of, open_admin, translated

MOVING_S = 2.0
"""For a partition to find a leader, which takes some tenths of a second."""
MOVED = (
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
)
"""A partition has another leader, or the same one in another term, as after each start of a broker."""


class Leaders:
    """Of the partitions of the topic of hits. May be asked from several threads. Raises StoreUnavailable."""

    def __init__(self, url: KafkaUrl) -> None:
        self._url = url
        self._topic = url.topic(HITS)
        self.admin = open_admin(url)
        """It is another one after a partition moved."""

    def offsets(self, partitions: Iterable[int], spec: OffsetSpec) -> dict[int, int]:
        asked = {self._place(each): spec for each in partitions}
        found = self._ask(lambda admin: admin.list_offsets(asked, request_timeout=ASK_S))
        return {partition: result.offset for partition, result in found.items()}

    def delete_before(self, offsets: Mapping[int, int]) -> None:
        places = [self._place(*each) for each in offsets.items()]
        self._ask(lambda admin: admin.delete_records(places, request_timeout=ASK_S))

    def _place(self, partition: int, offset: int = -1) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)

    def _ask(self, question: Callable[[AdminClient], Mapping[TopicPartition, Future[Any]]]) -> dict[int, Any]:
        deadline, pause_s = time.monotonic() + MOVING_S, LOOK_S
        with translated():
            while True:
                admin = self.admin
                try:
                    return _answers(question(admin))
                except KafkaException as error:
                    if code_of(error) not in MOVED or time.monotonic() > deadline:
                        raise
                time.sleep(pause_s)
                pause_s *= 2
                self._replace(admin)

    def _replace(self, admin: AdminClient) -> None:
        """A client goes on asking whom it knew, for minutes; a new one looks who leads now. One for all who ask."""
        if self.admin is admin:
            self.admin = open_admin(self._url)


def _answers(futures: Mapping[TopicPartition, Future[Any]]) -> dict[int, Any]:
    return {each.partition: future.result(ASK_S * 2) for each, future in futures.items()}
