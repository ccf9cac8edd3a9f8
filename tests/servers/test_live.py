"""What one process publishes live, others hear, also after the brokers were away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest

from cdp.accounting import Refusal
from cdp.batch import Batch
from cdp.live import Listener, Message
from cdp.live_kafka import AT_ONCE, KafkaFeed
from cdp.seen import Place
from tests.real.servers import Kafka

WAIT_S = 30.0

_numbers = count(1)


@pytest.fixture
def url(kafka: Kafka) -> str:
    """A deployment of its own."""
    return f"{kafka.url}{next(_numbers)}"


@pytest.fixture
def feed(url: str) -> Iterator[KafkaFeed]:
    with closing(KafkaFeed(url)) as opened:
        yield opened


@pytest.fixture
def hearing(url: str) -> Iterator[Listener]:
    """Another process in which somebody listens."""
    with closing(KafkaFeed(url)) as other, other.hearing(), other.listening() as listener:
        yield listener


def until_heard(feed: KafkaFeed, listener: Listener) -> None:
    """Until what is published arrives."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        feed.tell("hello", ["there"])
        if listener.next(0.1) is not None:
            while listener.next(0.5) is not None:
                pass
            return
    raise AssertionError("nothing was ever heard")


def next_of(listener: Listener) -> Message:
    message = listener.next(WAIT_S)
    assert message is not None
    return message


def refused(*offsets: int) -> Batch:
    batch = Batch([(0, 0, 1)], [], now=0)
    batch.refusals = [Refusal(Place(0, at, 0), "shop", "unknown_key", "why\nso", 1_700_000_000_000) for at in offsets]
    return batch


def test_what_became_of_events_is_heard_in_another_process_as_in_ones_own(feed: KafkaFeed, hearing: Listener) -> None:
    until_heard(feed, hearing)
    feed.publish(refused(7))
    assert next_of(hearing) == Message(
        {
            "outcome": "dropped",
            "reason": "unknown_key",
            "detail": "so",
            "source": "shop",
            "received_at": "2023-11-14T22:13:20.000Z",
            "hit": "0-7",
            "id": None,
        }
    )


def test_changes_of_persons_are_heard_with_their_kind(feed: KafkaFeed, hearing: Listener) -> None:
    until_heard(feed, hearing)
    feed.tell("person", [{"person": "p", "others": ["q"]}])
    assert next_of(hearing) == Message({"person": "p", "others": ["q"]}, "person")


def test_a_batch_of_any_size_arrives_in_its_order(feed: KafkaFeed, hearing: Listener) -> None:
    until_heard(feed, hearing)
    wanted = 3 * AT_ONCE + 1
    feed.publish(refused(*range(wanted)))
    heard: list[Any] = []
    while len(heard) + hearing.missed < wanted:
        heard.append(next_of(hearing).body["hit"])
    assert heard == sorted(heard, key=lambda hit: int(hit.partition("-")[2]))
    assert len(heard) >= AT_ONCE, "a listener keeps as many; the others it is told of"


def test_nothing_waits_for_brokers_that_are_away_and_the_feed_comes_back(
    kafka: Kafka, feed: KafkaFeed, hearing: Listener
) -> None:
    until_heard(feed, hearing)
    kafka.kill()
    try:
        for at in range(200):
            feed.publish(refused(at))
    finally:
        kafka.start()
    until_heard(feed, hearing)


def test_a_feed_opens_and_closes_while_the_brokers_are_away() -> None:
    with closing(KafkaFeed("kafka://127.0.0.1:1/nowhere")) as feed, feed.hearing(), feed.listening() as listener:
        feed.publish(refused(1))
        feed.tell("person", [{}])
        assert listener.next(0.2) is None
