"""The address of brokers: its parts, and what is said of one that cannot be used."""

from __future__ import annotations

import pytest

from cdp.errors import ConfigurationError
from cdp.kafka_url import is_kafka, parse_kafka_url


def test_the_parts_of_an_address_are_its_brokers_prefix_and_settings() -> None:
    url = parse_kafka_url("kafka://one:9092,10.0.0.2:9093,[::1]:9094/shop.cn?security.protocol=SSL&sasl.password=a%26b")

    assert url.brokers == "one:9092,10.0.0.2:9093,[::1]:9094"
    assert url.options == {"security.protocol": "SSL", "sasl.password": "a&b"}
    assert url.topic("hits") == "shop.cn.hits"


def test_partitions_and_copies_of_a_new_topic_are_no_settings_of_the_client() -> None:
    url = parse_kafka_url("kafka://one:9092/xunji?partitions=16&replication=2&client.id=a")

    assert (url.partitions, url.replication, url.options) == (16, 2, {"client.id": "a"})
    assert parse_kafka_url("kafka://one:9092/xunji").partitions == 8


@pytest.mark.parametrize("partitions", ["0", "-1", "many", "10001", ""])
def test_a_number_of_partitions_that_cannot_be_is_refused(partitions: str) -> None:
    with pytest.raises(ConfigurationError, match=f"partitions={partitions}; allowed is 1 to 10000 partitions"):
        parse_kafka_url(f"kafka://one:9092/xunji?partitions={partitions}")


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://one:9092",
        "kafka://one/prefix",
        "kafka://one:9092/a/b",
        "kafka://one:9092/pre fix",
        "kafka://one:9092,/prefix",
        "kafka://user:hidden@one:9092/prefix",
        "kafka://one:9092/prefix?hidden",
        "sqlite:///one",
    ],
)
def test_an_address_of_another_form_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_kafka_url(url)

    assert refused.value.setting == "XUNJI_LOG_URL"
    assert "hidden" not in str(refused.value)


def test_the_embedded_log_is_no_kafka() -> None:
    assert is_kafka("kafka://one:9092/xunji")
    assert not is_kafka("sqlite:///{data}/log/")
