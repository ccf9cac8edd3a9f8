"""Self-describing JSON of Snowplow's, in a field of its own as text or base64, and the entities that come so.

Self-describing is {"schema": "iglu:vendor/name/format/version", "data": …}; an event and its entities are each
wrapped in another one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from collectors.body import mended
from collectors.record import NOTHING, is_given, plain_value, text

Fields = Mapping[str, Any]
"""An event as it came; or an entity's data."""

_OWN_VENDORS = "com.snowplowanalytics."
_READ = frozenset(
    {
        "client_session", "mobile_context", "desktop_context", "browser_context", "application", "screen", "deep_link",
    }
)  # fmt: skip
_NO_FIELDS: Fields = {}


class Schemed(msgspec.Struct, gc=False):
    """Self-describing JSON; the data stay text."""

    schema: str = ""
    data: Raw = NOTHING


_SCHEMED = msgspec.json.Decoder(Schemed)


class Entities:
    """What an event brings besides. `json` is their list as it came, b'' where there is none or it is no JSON.

    Raises NotAnEventError as `plain_value`.
    """

    def __init__(self, told: Fields) -> None:
        self.json = b""
        self._read: dict[str, Fields] = {}
        wrapped = schemed(nested(told, "co", "cx"))
        if wrapped is None or not is_given(wrapped.data):
            return
        every = plain_value(bytes(wrapped.data))
        self.json = bytes(wrapped.data)
        for entity in every if isinstance(every, list) else ():
            if isinstance(entity, dict) and isinstance(data := entity.get("data"), dict):
                name, own = name_of(text(entity.get("schema")))
                if own and name in _READ:
                    self._read.setdefault(name, data)

    def named(self, name: str) -> Fields:
        """The data of the first entity of Snowplow's own with this name, empty where there is none."""
        return self._read.get(name, _NO_FIELDS)


def nested(told: Fields, plain: str, packed: str) -> bytes:
    """The JSON text of one of two fields, the second of which is in base64; b'' where there is none."""
    if value := told.get(plain):
        return value.encode() if isinstance(value, str) else b""
    value = told.get(packed)
    if not isinstance(value, str):
        return b""
    try:
        # A plus that went through a query unescaped came out as a space.
        return base64.urlsafe_b64decode(value.replace(" ", "+").rstrip("=") + "==")
    except (binascii.Error, ValueError):
        return b""


def schemed(found: bytes) -> Schemed | None:
    """None where it is no self-describing JSON, or no JSON at all."""
    if not found:
        return None
    for attempt in (found, mended(found)):
        try:
            str(attempt, "utf-8")
            return _SCHEMED.decode(attempt)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def name_of(schema: str) -> tuple[str, bool]:
    """Of `iglu:com.acme/order/jsonschema/1-0-0` the name, order, and whether the vendor is Snowplow itself."""
    vendor, _, rest = schema.removeprefix("iglu:").partition("/")
    return rest.partition("/")[0], vendor.startswith(_OWN_VENDORS)
