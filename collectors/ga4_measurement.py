"""One event of Google Analytics' Measurement Protocol, which servers send as JSON.

Parameters are the properties, user properties the traits. What is told of the person's consent, place and device is
kept beside the parameters with `$` before its name; `user_data`, plain hashes of contacts, is not: a plain hash of a
phone number is as good as the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import NO_CAMPAIGN, NO_DEVICE, Campaign, Device, Event, EventType, Hit, Identifier, Millis, Page
from collectors import event_names as names
from collectors.campaign import campaign_of
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id
from collectors.record import (
    NOTHING,
    NotAnEventError,
    Scalar,
    contacts_of,
    decoded,
    fact_of,
    in_order,
    is_given,
    path_of,
    plain_value,
    properties_json,
    set_traits,
    text,
    with_fields,
)
from collectors.user_agent import device_of

MICROS_FROM = 100_000_000_000_000
"""A smaller number counts milliseconds or seconds, which is not the protocol but happens."""

_KEPT = ("consent", "non_personalized_ads", "user_location", "device")
_IDENTITY = (("user_id", "member_id"), ("app_instance_id", "device_id"), ("client_id", "anonymous_id"))
_CAMPAIGN_EVENTS = frozenset({"campaign_details", "firebase_campaign"})
_KINDS = {"smart tv": "tv"}


class _Event(msgspec.Struct, gc=False):
    """One event; `params` stay JSON text."""

    name: Scalar = None
    params: Raw = NOTHING
    timestamp_micros: Scalar = None


class _Params(msgspec.Struct, gc=False):
    """The parameters that an event has a place for."""

    session_id: Scalar = None
    page_location: str | None = None
    page_title: str | None = None
    page_referrer: str | None = None
    screen_name: str | None = None
    language: str | None = None


class _CampaignParams(msgspec.Struct, gc=False):
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None


class _Device(msgspec.Struct, gc=False):
    category: str | None = None
    language: str | None = None
    model: str | None = None
    operating_system: str | None = None
    operating_system_version: str | None = None
    browser: str | None = None


_EVENT = msgspec.json.Decoder(_Event)
_PARAMS = msgspec.json.Decoder(_Params)
_CAMPAIGN = msgspec.json.Decoder(_CampaignParams)
_DEVICE = msgspec.json.Decoder(_Device)


class MeasurementDelivery:
    """The events of one hit: what they share, and each one's event.

    `shared` is the hit's body. `app_id` is the Firebase id of an app, such as 1:123:android:abc; '' for a site.
    """

    def __init__(self, hit: Hit, hit_id: str, shared: Any, *, app_id: str) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._shared = shared
        self._platform = _platform(app_id)
        traits = _user_properties(shared.user_properties)
        self._traits = set_traits(traits)
        self._identifiers = in_order(_identifiers(shared, traits))
        self._beside = tuple(_beside(shared))
        self._told_device = _told_device(shared.device)
        self._device = _device(self._told_device, text(shared.user_agent))

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = decoded(record, _EVENT)
        original = text(told.name)
        if not original:
            raise NotAnEventError("`name`, the event's name, is missing")
        name = names.GA4.get(original, original)
        properties = properties_json(told.params)
        preset = decoded(properties, _PARAMS)
        client_id = self._stand_in(told, index, record)
        said = _millis(told.timestamp_micros)
        identifiers = self._identifiers
        url = preset.page_location or ""
        return Event(
            id=event_id(hit.source, client_id),
            client_id=client_id,
            type=names.TYPES.get(name, EventType.TRACK),
            name=name,
            original_name=original,
            occurred_at=occurred_at(
                hit.received_at, said=_millis(self._shared.timestamp_micros) if said is None else said
            ),
            received_at=hit.received_at,
            source=hit.source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform=self._platform,
            session=text(preset.session_id),
            identifiers=identifiers,
            page=Page(url, path_of(url), preset.page_title or preset.screen_name or "", preset.page_referrer or ""),
            campaign=campaign_of(_campaign(properties) if original in _CAMPAIGN_EVENTS else NO_CAMPAIGN, url),
            device=self._device,
            locale=preset.language or self._told_device.language or "",
            # The peer is a server, whose own address says nothing of the person.
            ip=text(self._shared.ip_override),
            properties=with_fields(properties, b"{}", *self._beside) if self._beside else properties,
            traits=self._traits,
            fact=fact_of(identifiers),
        )

    def _stand_in(self, told: _Event, index: int, record: bytes) -> str:
        """By its own time an event is the same in any request, by the request's time in this one and its retries."""
        shared = self._shared
        who = "/".join(text(getattr(shared, field)) for field, _ in _IDENTITY)
        if told.timestamp_micros is not None:
            return content_id(record, without=(), moment=who)
        sent = text(shared.timestamp_micros) or self._hit_id
        return content_id(record, without=(), moment=f"{who}/{sent}/{index}")


def _identifiers(shared: Any, traits: Mapping[str, Any]) -> Iterator[Identifier]:
    for field, kind in _IDENTITY:
        if value := text(getattr(shared, field)):
            yield Identifier(kind, value)
    yield from contacts_of(traits)


def _user_properties(raw: Raw) -> dict[str, Any]:
    """Each is told as {"value": …}."""
    said = _readable(raw)
    if not isinstance(said, dict):
        return {}
    return {name: told.get("value") if isinstance(told, dict) else told for name, told in said.items()}


def _readable(raw: Raw) -> Any:
    """The value, None where nobody could read it later."""
    try:
        return plain_value(bytes(raw)) if is_given(raw) else None
    except NotAnEventError:
        return None


def _beside(shared: Any) -> Iterator[bytes]:
    for name in _KEPT:
        raw = getattr(shared, name)
        if _readable(raw) is not None:
            yield b'"$%b":%b' % (name.encode(), bytes(raw))


def _told_device(raw: Raw) -> _Device:
    return decoded(bytes(raw), _DEVICE) if isinstance(_readable(raw), dict) else _Device()


def _device(told: _Device, user_agent: str) -> Device:
    parsed = device_of(user_agent)
    kind = (told.category or "").lower()
    device = Device(
        kind=_KINDS.get(kind, kind) or parsed.kind,
        os=told.operating_system or parsed.os,
        os_version=told.operating_system_version or parsed.os_version,
        browser=told.browser or parsed.browser,
        model=told.model or parsed.model,
    )
    return device if device != NO_DEVICE else NO_DEVICE


def _platform(app_id: str) -> str:
    return next((system for system in ("ios", "android", "web") if f":{system}:" in app_id), "server")


def _campaign(properties: bytes) -> Campaign:
    told = decoded(properties, _CAMPAIGN)
    return Campaign(told.source or "", told.medium or "", told.campaign or "", told.term or "", told.content or "")


def _millis(value: object) -> Millis | None:
    """Of microseconds, as a number or as digits."""
    digits = text(value)
    if not digits.isdecimal() or len(digits) > 19:
        return None
    number = int(digits)
    return number // 1000 if number >= MICROS_FROM else parse_time(number)
