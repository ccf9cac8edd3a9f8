"""Read what GrowingIO's SDKs for apps and servers send as protobuf, and tell it as the JSON that its others send.

A reader of the wire format, and no message classes: a list of ten million empty messages is 20 MB on the wire and
half a gigabyte once it is built, while a reader stops at the first one too many. Fields that we do not know, or that
come in another wire type than ours, are skipped, as protobuf asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import unpack_from
from typing import Any

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, TooLarge
from collectors.dialect import MAX_EVENTS
from collectors.record import NotAnEventError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BITS = 63
_NEGATIVE = 1 << 63


class _CutError(Exception):
    """Raised where a message ends before it should, or holds what the wire format does not have."""


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of one message by number, each under the name that it has in JSON.

    `listed` is the number that its messages have in a list of them. `first` is what an enum's 0 stands for, which
    is not written.
    """

    listed: int = 0
    texts: Mapping[int, str] = field(default_factory=dict)
    numbers: Mapping[int, str] = field(default_factory=dict)
    doubles: Mapping[int, str] = field(default_factory=dict)
    maps: Mapping[int, str] = field(default_factory=dict)
    messages: Mapping[int, tuple[str, Message]] = field(default_factory=dict)
    enums: Mapping[int, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    texts_by_tag: Mapping[int, str] = field(init=False, repr=False)
    """The texts, which are most of a message, by number and wire type together."""

    def __post_init__(self) -> None:
        by_tag = {number << 3 | _BYTES: name for number, name in self.texts.items()}
        object.__setattr__(self, "texts_by_tag", by_tag)


_EVENT_TYPES = (
    "VISIT", "CUSTOM", "VISITOR_ATTRIBUTES", "LOGIN_USER_ATTRIBUTES", "CONVERSION_VARIABLES", "APP_CLOSED", "PAGE",
    "PAGE_ATTRIBUTES", "VIEW_CLICK", "VIEW_CHANGE", "FORM_SUBMIT", "ACTIVATE",
)  # fmt: skip

EVENT = Message(
    listed=1,
    texts={
        1: "deviceId", 2: "userId", 3: "gioId", 4: "sessionId", 5: "dataSourceId", 7: "platform", 9: "domain",
        10: "path", 11: "query", 12: "title", 13: "referralPage", 18: "language", 19: "sdkVersion", 20: "appVersion",
        22: "eventName", 26: "protocolType", 27: "textValue", 28: "xpath", 30: "hyperlink", 31: "urlScheme",
        32: "appState", 33: "networkState", 34: "appChannel", 36: "platformVersion", 37: "deviceBrand",
        38: "deviceModel", 39: "deviceType", 40: "operatingSystem", 42: "appName", 46: "imei", 47: "androidId",
        48: "oaid", 49: "googleAdvertisingId", 50: "idfa", 51: "idfv", 52: "orientation", 53: "projectKey",
        55: "userKey", 56: "xcontent", 57: "timezoneOffset",
    },
    numbers={
        8: "timestamp", 14: "globalSequenceId", 15: "eventSequenceId", 16: "screenHeight", 17: "screenWidth",
        23: "pageShowTimestamp", 29: "index", 54: "sendTime",
    },
    doubles={44: "latitude", 45: "longitude"},
    maps={21: "extraSdk", 24: "attributes"},
    messages={25: ("resourceItem", Message(texts={1: "id", 2: "key"}, maps={3: "attributes"}))},
    enums={6: ("eventType", _EVENT_TYPES)},
)  # fmt: skip
ITEM = Message(listed=2, texts={1: "id", 2: "key", 4: "dataSourceId", 5: "projectKey"}, maps={3: "attributes"})
USER_MAPPING = Message(
    listed=1, texts={1: "projectKey", 4: "dataSourceId"}, numbers={2: "sendTime"}, maps={3: "identifies"}
)


def records_of_list(body: bytes, message: Message) -> list[Raw]:
    """The messages of a list, each as bytes. Raises MalformedHit where it is none, TooLarge over MAX_EVENTS."""
    found: list[Raw] = []
    at = 0
    try:
        while at < len(body):
            tag, at = _varint(body, at)
            at, start = _skip(body, at, tag & 7)
            if tag == message.listed << 3 | _BYTES:
                found.append(Raw(body[start:at]))
                if len(found) > MAX_EVENTS:
                    raise TooLarge("The number of events in the request", limit=MAX_EVENTS, unit="events")
    except (_CutError, IndexError):
        raise MalformedHit("a list of messages in protobuf", f"something else from byte {at:,} on") from None
    return found


def json_of(record: bytes, message: Message) -> bytes:
    """A message as the JSON that says the same. Raises NotAnEventError where it cannot be read."""
    try:
        return msgspec.json.encode(_read(record, message))
    except (_CutError, IndexError):
        raise NotAnEventError("a record is a protobuf message") from None


def _read(record: bytes, message: Message) -> dict[str, Any]:
    texts, numbers = message.texts_by_tag, message.numbers
    found: dict[str, Any] = {name: values[0] for name, values in message.enums.values()}
    at = 0
    while at < len(record):
        tag = record[at]
        at += 1
        if tag & 0x80:
            tag, at = _varint(record, at - 1)
        if tag in texts:
            at, start = _skip(record, at, _BYTES)
            found[texts[tag]] = _text(record[start:at])
            continue
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(record, at)
            if number in numbers:
                found[numbers[number]] = value if value < _NEGATIVE else value - 2 * _NEGATIVE
            elif number in message.enums:
                name, values = message.enums[number]
                found[name] = values[value] if value < len(values) else str(value)
            continue
        at, start = _skip(record, at, wire)
        if wire == _BYTES:
            if number in message.maps:
                key, held = _entry(record[start:at])
                found.setdefault(message.maps[number], {})[key] = held
            elif number in message.messages:
                name, inner = message.messages[number]
                found[name] = _read(record[start:at], inner)
        elif wire == _FIXED64 and number in message.doubles:
            found[message.doubles[number]] = unpack_from("<d", record, start)[0]
    return found


_ENTRY = Message(texts={1: "key", 2: "value"})


def _entry(record: bytes) -> tuple[str, str]:
    entry = _read(record, _ENTRY)
    return entry.get("key", ""), entry.get("value", "")


def _text(value: bytes) -> str:
    """Half an emoji, where an SDK cut a text by its length, becomes U+FFFD."""
    return str(value, "utf-8", "replace")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next field begins."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = shift = 0
    while shift <= _MAX_VARINT_BITS:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 2 * _NEGATIVE - 1, at
        shift += 7
    raise _CutError


def _skip(data: bytes, at: int, wire: int) -> tuple[int, int]:
    """Where a field that begins at `at` ends, and where its value begins."""
    if wire == _BYTES:
        size = data[at]
        at += 1
        if size & 0x80:
            size, at = _varint(data, at - 1)
    elif wire == _VARINT:
        return _varint(data, at)[1], at
    elif wire in (_FIXED64, _FIXED32):
        size = 8 if wire == _FIXED64 else 4
    else:
        raise _CutError
    if at + size > len(data):
        raise _CutError
    return at + size, at
