"""How an event and its traits become rows of the event store, and how a row becomes a dict again.

The column orders below are those of `events.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from cdp.model import (
    NO_APP,
    NO_CAMPAIGN,
    NO_DEVICE,
    NO_PAGE,
    App,
    Campaign,
    Device,
    Event,
    Identifier,
    Page,
    SetId,
)
from profiles.store import StoredEvent

EVENT_COLUMNS = "set, occurred_at, id, received_at, name, source, envelope"
READ_COLUMNS = "set, occurred_at, id, envelope"
TYPED_COLUMNS = (
    "name, set, occurred_at, id, received_at, source, type, platform, dialect, session, app_id, app_version, page_url,"
    " page_path, page_title, page_referrer, campaign_source, campaign_medium, campaign_name, campaign_term,"
    " campaign_content, device_kind, device_os, locale, ip_city, properties"
)
TRAIT_COLUMNS = "set, occurred_at, event, `order`, operation, name, value, source, received_at"

_STORED = ("name", "set", "occurred_at", "id", "received_at", "source")
_INSIDE = ("app_id", "app_version", "page_", "campaign_", "device_")
"""Columns, or how they begin, that are fields of an object in the envelope."""

_APP = ("id", "name", "version")
_CAMPAIGN = ("source", "medium", "name", "term", "content")
_PAGE = ("url", "path", "title", "referrer")
_DEVICE = ("kind", "os", "os_version", "browser", "model")

_NO_TEXTS: dict[str, Any] = {}


class Envelope(msgspec.Struct, omit_defaults=True, gc=False):
    """All of an event that reading it needs beside the key; what is not known is left out."""

    received_at: int
    name: str
    source: str
    properties: msgspec.Raw
    client_id: str
    type: str
    original_name: str
    dialect: str
    hit: str
    platform: str = ""
    app: App = NO_APP
    session: str = ""
    identifiers: tuple[Identifier, ...] = ()
    page: Page = NO_PAGE
    campaign: Campaign = NO_CAMPAIGN
    device: Device = NO_DEVICE
    locale: str = ""
    ip_city: str = ""


def in_envelope(column: str) -> str:
    """One of TYPED_COLUMNS in SQL, as it is in a row of `events`."""
    if column in _STORED:
        return column
    if column == "properties":
        return "CAST(JSONExtractRaw(envelope, 'properties') AS JSON(max_dynamic_paths = 256))"
    path = column.split("_", 1) if column.startswith(_INSIDE) else [column]
    return f"JSONExtractString(envelope, {', '.join(repr(each) for each in path)})"


_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


def event_lines(rows: Sequence[StoredEvent]) -> tuple[bytes, bytes]:
    """One JSON array a line, in the order of EVENT_COLUMNS, and again in that of TYPED_COLUMNS. Raises
    UnicodeEncodeError on a lone surrogate."""
    # The engine keeps a nested object's text as it stands, so it is not escaped into a string first.
    whole = [(e := row.event, row.set, _envelope(e)) for row in rows]
    return (
        _encoder.encode_lines(
            [(s, e.occurred_at, e.id, e.received_at, e.name, e.source, envelope) for e, s, envelope in whole]
        ),
        _encoder.encode_lines([_typed(e, s, envelope.properties) for e, s, envelope in whole]),
    )


def _typed(e: Event, set_: SetId, properties: msgspec.Raw) -> tuple[object, ...]:
    app, page, campaign, device = e.app, e.page, e.campaign, e.device
    return (
        e.name,
        set_,
        e.occurred_at,
        e.id,
        e.received_at,
        e.source,
        e.type,
        e.platform,
        e.dialect,
        e.session,
        app.id,
        app.version,
        page.url,
        page.path,
        page.title,
        page.referrer,
        campaign.source,
        campaign.medium,
        campaign.name,
        campaign.term,
        campaign.content,
        device.kind,
        device.os,
        e.locale,
        e.ip_city,
        properties,
    )


def _envelope(e: Event) -> Envelope:
    return Envelope(
        e.received_at,
        e.name,
        e.source,
        msgspec.Raw(e.properties),
        e.client_id,
        e.type,
        e.original_name,
        e.dialect,
        e.hit,
        e.platform,
        e.app,
        e.session,
        e.identifiers,
        e.page,
        e.campaign,
        e.device,
        e.locale,
        e.ip_city,
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
    """A row in the order of READ_COLUMNS in the contract's Event shape; what is not known is None."""
    set_, occurred_at, id_, text = row
    envelope = _decode(text)
    known = envelope.get
    campaign = known("campaign", _NO_TEXTS)
    return {
        "id": id_,
        "client_id": envelope["client_id"],
        "type": envelope["type"],
        "name": envelope["name"],
        "original_name": envelope["original_name"],
        "occurred_at": occurred_at,
        "received_at": envelope["received_at"],
        "source": envelope["source"],
        "dialect": envelope["dialect"],
        "platform": known("platform"),
        "app": _known(known("app", _NO_TEXTS), _APP),
        "session": known("session"),
        "identifiers": known("identifiers", []),
        "page": _known(known("page", _NO_TEXTS), _PAGE),
        "campaign": {**_known(campaign, _CAMPAIGN), "click_ids": campaign.get("click_ids", {})},
        "device": _known(known("device", _NO_TEXTS), _DEVICE),
        "locale": known("locale"),
        "ip_city": known("ip_city"),
        "properties": envelope["properties"],
        "hit": envelope["hit"],
        "set": set_,
    }


def _known(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, str | None]:
    return {key: value.get(key) for key in keys}
