"""One record of a ThinkingData SDK, and the event that it tells of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import (
    NO_CAMPAIGN,
    NO_DEVICE,
    NO_PAGE,
    App,
    Campaign,
    Device,
    Event,
    EventType,
    Hit,
    Identifier,
    Millis,
    Operation,
    Page,
    TraitChange,
    as_json,
)
from collectors import event_names as names
from collectors.campaign import campaign_in, campaign_of, may_hold_click_ids
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id
from collectors.placeholders import is_placeholder, without_placeholders
from collectors.platforms import APPS, app_platform, handset
from collectors.record import (
    NOTHING,
    Keys,
    NotAnEventError,
    Scalar,
    decoded,
    fact_of,
    in_order,
    path_of,
    plain_value,
    properties_json,
    text,
    trait_changes,
    with_fields,
)
from collectors.user_agent import device_of

HOUR_MS = 3_600_000
DEFAULT_ZONE_H = 8.0
"""Of texts without a zone, where no record of the hit names one: China's. A translation must give the same for ever,
so it does not hang on a setting."""
ZONES_H = (-12.0, 14.0)
QUARTER_MS = 15 * 60 * 1000
"""All zones differ by multiples of it."""
NETWORK_MS = 60_000

_PRESET = "#"
_PLATFORMS = {"js": "web", "mp": "mini_program", "mg": "mini_program", "android": "android", "ios": "ios"}
_ENGINES = frozenset({"unity", "unreal", "flutter", "react-native", "rn", "cocos", "cocoscreator", "harmonyos"})
"""Libraries of which the operating system tells the platform."""
_CALIBRATED = frozenset({1, 2})
"""`#time_calibration` of a time that the SDK took from a server of time, and not from the device."""
_OPERATIONS = {
    "user_set": Operation.SET,
    "user_setOnce": Operation.SET_ONCE,
    "user_add": Operation.INCREMENT,
    "user_append": Operation.APPEND,
    "user_uniq_append": Operation.APPEND,
    "user_unset": Operation.UNSET,
    "user_del": Operation.DELETE,
}
_TRACKS = frozenset({"track", "track_update", "track_overwrite"})
_EXTRA = (("event_id", "#event_id"), ("first_check_id", "#first_check_id"))


class _Preset(msgspec.Struct, rename=lambda name: f"#{name}", gc=False):
    """The preset properties that an event has a place for."""

    lib: str | None = None
    zone_offset: Any = None
    time_calibration: Any = None
    url: str | None = None
    url_path: str | None = None
    title: str | None = None
    referrer: str | None = None
    os: str | None = None
    os_version: str | None = None
    device_model: str | None = None
    device_type: str | None = None
    device_id: Scalar = None
    browser: str | None = None
    bundle_id: str | None = None
    app_version: str | None = None
    system_language: str | None = None
    session_id: Scalar = None
    ip: str | None = None


class _Record(msgspec.Struct, rename=lambda name: name if name in ("properties", "ekey") else f"#{name}"):
    """One record; `properties` stay JSON text."""

    type: str | None = None
    event_name: Scalar = None
    time: Scalar = None
    distinct_id: Scalar = None
    account_id: Scalar = None
    uuid: Scalar = None
    event_id: Scalar = None
    first_check_id: Scalar = None
    app_id: Scalar = None
    ip: str | None = None
    properties: Raw = NOTHING
    ekey: str | None = None


class _Zoned(msgspec.Struct):
    properties: _Preset | None = None


_RECORD = msgspec.json.Decoder(_Record)
_PRESETS = msgspec.json.Decoder(_Preset)
_ZONED = msgspec.json.Decoder(_Zoned)


class Delivery:
    """The records of one hit: what they share, and each one's event. `platform` is what the path says of the sender,
    '' for nothing; `sent_at` is when the client says that it sent the hit."""

    def __init__(
        self, hit: Hit, hit_id: str, keys: Keys, *, records: Sequence[Raw], platform: str, sent_at: Any
    ) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._keys = keys
        self._records = records
        self._platform = platform
        # A text would be in a zone that nothing tells.
        self._sent = None if isinstance(sent_at, str) else parse_time(sent_at, always_ms=True)
        self._zone: float | None = None

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = decoded(record, _RECORD)
        call = (told.type or "").strip() or "track"
        original = _original_name(told, call)
        kind, name = _type_and_name(call, original)
        source = self._keys.source(text(told.app_id))
        properties = without_placeholders(properties_json(told.properties), _PRESET)
        preset = decoded(properties, _PRESETS)
        platform = _platform_of(preset) or self._platform
        client_id = text(told.uuid) or self._stand_in(told, index, record)
        identifiers = in_order(_identifiers(told, preset, platform))
        url = preset.url or ""
        page = Page(url, preset.url_path or path_of(url), preset.title or "", preset.referrer or "")
        about_person = call in _OPERATIONS
        return Event(
            id=event_id(source, client_id),
            client_id=client_id,
            type=kind,
            name=name,
            original_name=original,
            occurred_at=self._occurred_at(told, preset, platform),
            received_at=hit.received_at,
            source=source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform=platform,
            app=App(id=preset.bundle_id or "", version=preset.app_version or ""),
            session=text(preset.session_id),
            identifiers=identifiers,
            page=NO_PAGE if about_person else page,
            campaign=NO_CAMPAIGN if about_person else _campaign(properties, page.url),
            device=self._device(preset, platform),
            locale=preset.system_language or "",
            ip=told.ip or preset.ip or ("" if platform == "server" else hit.client_ip),
            properties=b"{}" if about_person else _with_extra(told, properties),
            traits=_traits(call, properties),
            fact=fact_of(identifiers),
        )

    def _stand_in(self, told: _Record, index: int, record: bytes) -> str:
        moment = "" if told.time is not None else f"{self._hit_id}/{index}"
        return content_id(record, without=(), moment=moment)

    def _occurred_at(self, told: _Record, preset: _Preset, platform: str) -> Millis:
        received = self._hit.received_at
        said = parse_time(told.time)
        if said is not None and isinstance(told.time, str) and not _names_zone(told.time):
            zone = _zone_of(preset)
            said -= round((self._zone_of_hit() if zone is None else zone) * HOUR_MS)
        trusted = platform == "server" or preset.time_calibration in _CALIBRATED
        sent = None if trusted or (platform == "web" and self._sent_in_another_zone()) else self._sent
        return occurred_at(received, said=said, sent=sent)

    def _sent_in_another_zone(self) -> bool:
        """The web SDK shifts the moment of sending, and not the events' times, by the zone that a team sets."""
        if self._sent is None:
            return False
        off = (self._hit.received_at - self._sent) % QUARTER_MS
        return min(off, QUARTER_MS - off) < NETWORK_MS

    def _zone_of_hit(self) -> float:
        """Records about a person name no zone; those beside them come from the same device."""
        if self._zone is None:
            self._zone = next(_zones_of(self._records), DEFAULT_ZONE_H)
        return self._zone

    def _device(self, preset: _Preset, platform: str) -> Device:
        device = NO_DEVICE if platform == "server" else device_of(self._hit.headers.get("user-agent", ""))
        if platform not in APPS and not (preset.os or preset.device_model or preset.browser):
            return device
        kind = device.kind
        if platform in APPS or platform == "mini_program":
            kind = handset(preset.device_type or "")
        return Device(
            kind=kind,
            os=preset.os or device.os,
            os_version=preset.os_version or device.os_version,
            browser=preset.browser or device.browser,
            model=preset.device_model or device.model,
        )


def _original_name(told: _Record, call: str) -> str:
    """The event's name; for records about a person and types nobody knows, which have none, the type."""
    name = text(told.event_name)
    if name or call not in _TRACKS:
        return name or call
    if told.ekey is not None:
        raise NotAnEventError("encrypted by the SDK for the vendor's server; switch its encryption off")
    raise NotAnEventError("`#event_name`, the event's name, is missing")


def _type_and_name(call: str, original: str) -> tuple[EventType, str]:
    if call in _OPERATIONS or call.startswith("user_"):
        return EventType.PROFILE, names.PROFILE_UPDATED
    name = names.THINKINGDATA.get(original, original)
    return names.TYPES.get(name, EventType.TRACK), name


def _platform_of(preset: _Preset) -> str:
    """By the library, '' where the record names none."""
    lib = (preset.lib or "").lower()
    if not lib:
        return ""
    if lib in _ENGINES:
        return app_platform(preset.os or "")
    return _PLATFORMS.get(lib) or ("mini_program" if "mini" in lib else app_platform(lib) or "server")


def _identifiers(told: _Record, preset: _Preset, platform: str) -> Iterator[Identifier]:
    account, visitor, device = text(told.account_id), text(told.distinct_id), text(preset.device_id)
    if account and not is_placeholder(account):
        yield Identifier("member_id", account)
    if visitor and visitor != account and not is_placeholder(visitor):
        yield Identifier("anonymous_id", visitor)
    # On a site or in a mini-program it is the SDK's own name of the visitor, which `identify` may have replaced.
    if device and device != visitor and platform != "server" and not is_placeholder(device):
        yield Identifier("device_id" if platform in APPS else "anonymous_id", device)


def _names_zone(time: str) -> bool:
    return time.endswith("Z") or "+" in time or "-" in time[10:] or time.isdecimal()


def _zone_of(preset: _Preset) -> float | None:
    zone = preset.zone_offset
    if isinstance(zone, bool) or not isinstance(zone, (int, float)) or not ZONES_H[0] <= zone <= ZONES_H[1]:
        return None
    return zone


def _zones_of(records: Sequence[Raw]) -> Iterator[float]:
    for record in records:
        try:
            preset = _ZONED.decode(record).properties
        except (msgspec.ValidationError, RecursionError):
            continue
        if preset is not None and (zone := _zone_of(preset)) is not None:
            yield zone


def _campaign(properties: bytes, url: str) -> Campaign:
    told = NO_CAMPAIGN
    if b"utm_" in properties or may_hold_click_ids(properties):
        said = msgspec.json.decode(properties)
        told = campaign_in(said)
        if told is NO_CAMPAIGN:
            told = campaign_in(said, _PRESET)
    return campaign_of(told, url)


def _with_extra(told: _Record, properties: bytes) -> bytes:
    """The properties, and by which id an event may be changed later, or comes only once: each record stays an event
    of its own here."""
    extra = {name: value for field, name in _EXTRA if (value := text(getattr(told, field)))}
    return with_fields(properties, as_json(extra).encode()) if extra else properties


def _traits(call: str, properties: bytes) -> tuple[TraitChange, ...]:
    operation = _OPERATIONS.get(call)
    if operation is None:
        return ()
    of_sdk = _PRESET if operation is Operation.UNSET else "#lib"
    said = plain_value(properties)
    return trait_changes(operation, {name: value for name, value in said.items() if not name.startswith(of_sdk)})
