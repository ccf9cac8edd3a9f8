"""How an event and its traits become rows of the event store, and how a row becomes a dict again.

The column orders below are those of `events.sql`. Nested structs pass through to the encoder as they are; the
engine keeps their JSON text, and the page as a typed tuple.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from profiles.store import StoredEvent

EVENT_COLUMNS = (
    "set, occurred_at, id, client_id, type, name, original_name, received_at, source, dialect, platform, app, session, "
    "identifiers, page, campaign, device, locale, ip_city, properties, hit"
)
TRAIT_COLUMNS = "set, occurred_at, event, `order`, operation, name, value, source, received_at"

_APP = ("id", "name", "version")
_CAMPAIGN = ("source", "medium", "name", "term", "content")
_DEVICE = ("kind", "os", "os_version", "browser", "model")

_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


def event_lines(rows: Sequence[StoredEvent]) -> bytes:
    """One JSON array a line, in the order of EVENT_COLUMNS. Raises UnicodeEncodeError on a lone surrogate."""
    return _encoder.encode_lines([_event_row(row) for row in rows])


def _event_row(row: StoredEvent) -> tuple[Any, ...]:
    e = row.event
    return (
        row.set,
        e.occurred_at,
        e.id,
        e.client_id,
        e.type,
        e.name,
        e.original_name,
        e.received_at,
        e.source,
        e.dialect,
        e.platform,
        e.app,
        e.session,
        e.identifiers,
        e.page,
        e.campaign,
        e.device,
        e.locale,
        e.ip_city,
        e.properties.decode(),
        e.hit,
    )


def trait_lines(rows: Iterable[StoredEvent]) -> bytes:
    """One JSON array a line, in the order of TRAIT_COLUMNS; b'' where no event has traits."""
    return _encoder.encode_lines(
        [
            (row.set, e.occurred_at, e.id, order, t.operation, t.name, t.value, e.source, e.received_at)
            for row in rows
            if (e := row.event).traits
            for order, t in enumerate(e.traits)
        ]
    )


def event_dict(row: Sequence[Any]) -> dict[str, Any]:
    """A row in the order of EVENT_COLUMNS in the contract's Event shape; what is not known is None."""
    campaign = _decode(row[15])
    return {
        "id": row[2],
        "client_id": row[3],
        "type": row[4],
        "name": row[5],
        "original_name": row[6],
        "occurred_at": row[1],
        "received_at": row[7],
        "source": row[8],
        "dialect": row[9],
        "platform": row[10] or None,
        "app": _known(_decode(row[11]), _APP),
        "session": row[12] or None,
        "identifiers": _decode(row[13]),
        "page": {key: value or None for key, value in row[14].items()},
        "campaign": {**_known(campaign, _CAMPAIGN), "click_ids": campaign.get("click_ids", {})},
        "device": _known(_decode(row[16]), _DEVICE),
        "locale": row[17] or None,
        "ip_city": row[18] or None,
        "properties": _decode(row[19]),
        "hit": row[20],
        "set": row[0],
    }


def _known(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value.get(key) or None for key in keys}
