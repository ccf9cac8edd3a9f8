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


class KafkaUrl(NamedTuple):
    """`brokers` as librdkafka takes them; `options` are its settings, by name, such as `security.protocol`."""

    brokers: str
    prefix: str
    options: Mapping[str, str]

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
    return KafkaUrl(brokers, prefix, options)
