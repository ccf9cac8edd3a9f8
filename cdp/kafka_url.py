"""Where the brokers of a log are, and what its topics are called, as `XUNJI_LOG_URL` says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from cdp.errors import ConfigurationError

SETTING = "XUNJI_LOG_URL"
FORM = "kafka://host:port,host:port/prefix, with settings of librdkafka behind a ? where they are needed"

_BROKER = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"
_URL = re.compile(rf"kafka://({_BROKER}(?:,{_BROKER})*)/([A-Za-z0-9._-]{{1,200}})/?(?:\?(.*))?", re.ASCII)


PARTITIONS, MAX_PARTITIONS = 8, 10_000
REPLICAS, MAX_REPLICAS = 3, 15


class KafkaUrl(NamedTuple):
    """`brokers` as librdkafka takes them; `options` are its settings, by name, such as `security.protocol`.

    A topic of hits that is made has so many `partitions`, each on `replication` brokers or on as many as there are.
    """

    brokers: str
    prefix: str
    options: Mapping[str, str]
    partitions: int = PARTITIONS
    replication: int = REPLICAS

    def topic(self, name: str) -> str:
        """The topic of that name in this deployment."""
        return f"{self.prefix}.{name}"


def is_kafka(url: str) -> bool:
    return url.startswith("kafka:")


def parse_kafka_url(url: str) -> KafkaUrl:
    """Raises ConfigurationError where the URL is of another form, without repeating it: it may hold a password."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ConfigurationError(SETTING, came="an address that is no Kafka URL", allowed=FORM)
    brokers, prefix, query = found.groups()
    try:
        options = dict(parse_qsl(query or "", keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise ConfigurationError(SETTING, came="a Kafka URL whose settings cannot be read", allowed=FORM) from None
    partitions = _number(options, "partitions", default=PARTITIONS, most=MAX_PARTITIONS)
    replication = _number(options, "replication", default=REPLICAS, most=MAX_REPLICAS)
    return KafkaUrl(brokers, prefix, options, partitions, replication)


def _number(options: dict[str, str], name: str, *, default: int, most: int) -> int:
    """Taken out of the options, for librdkafka does not know it."""
    text = options.pop(name, str(default))
    if not (re.fullmatch("[0-9]{1,6}", text) and 1 <= int(text) <= most):
        raise ConfigurationError(SETTING, came=f"a Kafka URL with {name}={text}", allowed=f"1 to {most} {name}")
    return int(text)
