"""The live feed between processes: whoever processes events publishes to a topic, and whoever answers people reads its
end. It is of use for seconds, so nothing waits for it and what cannot be delivered is left out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as Record
from confluent_kafka.admin import NewTopic
from prometheus_client import Counter

from cdp.kafka_url import parse_kafka_url
from cdp.live import LiveFeed, Message
from cdp.log_kafka.topic import ASK_S, code_of, open_admin, options, translated
from cdp.records import chunks

log = structlog.get_logger()

LIVE = "live"
AT_ONCE = 1_000
"""Messages in one record, about 200 bytes each."""
POLL_S = 0.2
AGAIN_S = 1.0
TOPIC = {"cleanup.policy": "delete", "retention.ms": "600000", "segment.ms": "600000", "segment.bytes": "67108864"}
PRODUCING = {
    "acks": 1,
    "linger.ms": 5,
    "compression.type": "lz4",
    "message.timeout.ms": 5_000,
    "queue.buffering.max.messages": 1_000,
    "queue.buffering.max.kbytes": 32_768,
}

UNSENT = Counter("xunji_live_unsent", "Live messages that were left out because the brokers were away or too slow")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


class KafkaFeed(LiveFeed):
    """Starts, publishes and ends also while the brokers are away. The topic, `<prefix>.live`, is made where it is
    missing."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = parse_kafka_url(url)
        self._topic = self._url.topic(LIVE)
        self._admin = open_admin(self._url)
        self._making = self._make()
        self._is_there = False
        with translated():
            self._producer = Producer(options(self._url) | PRODUCING)
        self._stopping = threading.Event()

    def wanted(self) -> bool:
        return self._topic_is_there()

    def send(self, messages: Sequence[Message]) -> None:
        if self._topic_is_there():
            for some in chunks(messages, AT_ONCE):
                self._send(some)

    @contextmanager
    def hearing(self) -> Iterator[None]:
        self._stopping.clear()
        thread = threading.Thread(target=self._hear, name="live", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def close(self) -> None:
        self._stopping.set()
        self._producer.flush(AGAIN_S)

    def _send(self, messages: Sequence[Message]) -> None:
        def delivered(error: KafkaError | None, _record: object) -> None:
            if error is not None:
                UNSENT.inc(len(messages))

        try:
            self._producer.produce(self._topic, _encode(messages), partition=0, on_delivery=delivered)
        except (BufferError, KafkaException):
            UNSENT.inc(len(messages))
        self._producer.poll(0)

    def _make(self) -> Future[None]:
        # On as many brokers as theirs is to say. Making it again does nothing.
        topic = NewTopic(self._topic, num_partitions=1, replication_factor=-1, config=TOPIC)
        making: Future[None] = self._admin.create_topics([topic], request_timeout=ASK_S)[self._topic]
        return making

    def _topic_is_there(self) -> bool:
        """Never waits: without it a broker may make a topic of its own, which it keeps for long."""
        if not self._is_there and self._making.done():
            error = self._making.exception()
            there = isinstance(error, KafkaException) and code_of(error) == KafkaError.TOPIC_ALREADY_EXISTS
            self._is_there = error is None or there
            if not self._is_there:
                self._making = self._make()
        return self._is_there

    def _hear(self) -> None:
        while not self._stopping.is_set():
            if self._topic_is_there():
                try:
                    self._follow()
                except (KafkaException, msgspec.DecodeError) as error:
                    # What is published meanwhile is not heard.
                    log.warning("live_waits", reason=str(error))
            self._stopping.wait(AGAIN_S)

    def _follow(self) -> None:
        """From the topic's present end."""
        # It commits nothing and shares with nobody; the client wants a name of a group all the same.
        wanted = {"group.id": self._topic, "enable.auto.commit": False, "auto.offset.reset": "latest"}
        with closing(Consumer(options(self._url) | wanted)) as consumer:
            ends = consumer.get_watermark_offsets(TopicPartition(self._topic, 0), ASK_S)
            if ends is None:
                return
            consumer.assign([TopicPartition(self._topic, 0, ends[1])])
            while not self._stopping.is_set():
                if record := consumer.poll(POLL_S):
                    self._heard(record)

    def _heard(self, record: Record) -> None:
        if error := record.error():
            raise KafkaException(error)
        if self._listeners:
            self.hand_out(_decode(record.value()))
