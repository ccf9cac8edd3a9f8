"""The topic of hits, made where there is none, and what all our clients of the brokers have in common."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from cdp.errors import ConfigurationError, StoreUnavailable
from cdp.kafka_url import SETTING, KafkaUrl

HITS = "hits"
LARGEST_BYTES = 32 * 1024 * 1024
"""Of a record: a sealed hit with a body of 20 MB, and room."""
ASK_S = 5.0
"""For an answer of the brokers to a question; longer, and they count as away."""
MAKE_S, LOOK_S = 30.0, 0.02
FULL_MS = 2
"""For which a client that has fetched enough fetches no more; librdkafka's own second stands still for too long."""
FOREVER = str(2**63 - 1)

TOPIC = {
    "cleanup.policy": "delete",
    # What is past its retention we delete ourselves, by the time of receipt and with its place in the accounting.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "max.message.bytes": str(LARGEST_BYTES),
    "message.timestamp.type": "CreateTime",
    # A collector whose clock is ahead is heard all the same.
    "message.timestamp.after.max.ms": FOREVER,
    "message.timestamp.before.max.ms": FOREVER,
}


def options(url: KafkaUrl) -> dict[str, Any]:
    """What every client is told, first of all by the URL."""
    return {
        "client.id": "xunji",
        "reconnect.backoff.max.ms": 1_000,
        "socket.keepalive.enable": True,
        # While brokers are away it would write a line a second; what that means for us we say ourselves, once.
        "log_level": 2,
        **url.options,
        "bootstrap.servers": url.brokers,
    }


def open_admin(url: KafkaUrl) -> AdminClient:
    with translated():
        return AdminClient(options(url))


def ensure_topic(admin: AdminClient, url: KafkaUrl, *, patience_s: float = ASK_S) -> int:
    """Make the topic of hits where it is missing; how many partitions it has. Patience is for the first answer.

    Raises StoreUnavailable, and ConfigurationError for a topic that would lose hits.
    """
    name = url.topic(HITS)
    with translated():
        count = _partitions(admin, name, patience_s)
        if count is None:
            _make(admin, url, name)
            count = _made(admin, name)
        _check(admin, name)
        return count


def count_partitions(admin: AdminClient, url: KafkaUrl) -> int:
    """How many it has by now, 0 where it is missing. Raises StoreUnavailable."""
    with translated():
        return _partitions(admin, url.topic(HITS)) or 0


def _partitions(admin: AdminClient, name: str, patience_s: float = ASK_S) -> int | None:
    # Listing topics by name would make brokers that create topics by themselves create it, with their defaults.
    asked = admin.describe_topics(TopicCollection([name]), request_timeout=patience_s)
    try:
        return len(asked[name].result().partitions)
    except KafkaException as error:
        if code_of(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise


def _make(admin: AdminClient, url: KafkaUrl, name: str) -> None:
    brokers = len(admin.describe_cluster(request_timeout=ASK_S).result(ASK_S * 2).nodes)
    replicas = min(url.replication, brokers)
    settings = {**TOPIC, "min.insync.replicas": str(max(1, replicas - 1))}
    topic = NewTopic(name, num_partitions=url.partitions, replication_factor=replicas, config=settings)
    try:
        admin.create_topics([topic], operation_timeout=ASK_S, request_timeout=MAKE_S)[name].result(MAKE_S * 2)
    except KafkaException as error:
        # Another process was first.
        if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _made(admin: AdminClient, name: str) -> int:
    """The partitions of a new topic, of which a broker may not have heard yet."""
    deadline = time.monotonic() + MAKE_S
    while (count := _partitions(admin, name)) is None:
        if time.monotonic() > deadline:
            raise StoreUnavailable("log", f"the topic {name} was made and is not there after {MAKE_S} s")
        time.sleep(LOOK_S)
    return count


def _check(admin: AdminClient, name: str) -> None:
    resource = ConfigResource(ResourceType.TOPIC, name)
    found = admin.describe_configs([resource], request_timeout=ASK_S)[resource].result(ASK_S * 2)
    if int(found["max.message.bytes"].value) < LARGEST_BYTES:
        came = f"the topic {name}, whose max.message.bytes is {found['max.message.bytes'].value}"
        raise ConfigurationError(SETTING, came=came, allowed=f"{LARGEST_BYTES} or more, since hits may be that large")
    if found["cleanup.policy"].value != "delete":
        came = f"the topic {name}, whose cleanup.policy is {found['cleanup.policy'].value}"
        raise ConfigurationError(SETTING, came=came, allowed="delete, for a compacted topic forgets hits")


def code_of(error: KafkaException) -> int:
    code: int = error.args[0].code()
    return code


@contextmanager
def translated() -> Iterator[None]:
    """What the brokers do not answer is StoreUnavailable; what the client cannot be told is ConfigurationError."""
    try:
        yield
    except KafkaException as error:
        cause: KafkaError = error.args[0]
        if cause.code() == KafkaError._INVALID_ARG:
            raise ConfigurationError(
                SETTING, came=f"refused: {cause.str()}", allowed="settings of librdkafka"
            ) from error
        raise StoreUnavailable("log", cause.str()) from error
    except (TimeoutError, ValueError) as error:
        raise StoreUnavailable("log", str(error) or "no answer of the brokers") from error
