"""One record of a Sensors Analytics SDK, and the event that it tells of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import (
    NO_CAMPAIGN,
    NO_DEVICE,
    App,
    Campaign,
    Device,
    Event,
    EventType,
    Fact,
    Hit,
    Identifier,
    Operation,
    Page,
    TraitChange,
    as_json,
)
from collectors import event_names as names
from collectors.campaign import campaign_in, campaign_of, may_hold_click_ids
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id, hashed
from collectors.placeholders import is_placeholder, without_placeholders
from collectors.platforms import APPS, app_platform, handset
from collectors.record import (
    KIND_ORDER,
    NOTHING,
    Keys,
    NotAnEventError,
    Scalar,
    decoded,
    in_order,
    path_of,
    plain_value,
    properties_json,
    text,
    trait_changes,
    with_fields,
)
from collectors.user_agent import device_of

_PLATFORMS = {"js": "web", "ios": "ios", "android": "android", "harmonyos": "harmony", "flutter": "", "reactnative": ""}
_OPERATIONS = {
    "profile_set": Operation.SET,
    "profile_set_once": Operation.SET_ONCE,
    "profile_increment": Operation.INCREMENT,
    "profile_append": Operation.APPEND,
    "profile_unset": Operation.UNSET,
    "profile_delete": Operation.DELETE,
}
_TYPES = {
    **dict.fromkeys(_OPERATIONS, (EventType.PROFILE, names.PROFILE_UPDATED)),
    "item_set": (EventType.ITEM, names.ITEM_UPDATED),
    "item_delete": (EventType.ITEM, names.ITEM_UPDATED),
    "track_signup": (EventType.IDENTIFY, names.IDENTIFIED),
    "track_id_bind": (EventType.ALIAS, names.ALIASED),
}
_UNBIND = "track_id_unbind"
_BINDS = frozenset({"track_signup", "track_id_bind"})
_LOGIN_FLAG = "$is_login_id"
_PRESET = ("$", "_latest_")
"""How properties begin that the SDKs fill; the second are those of a team's own advertising channels."""
_CHANGES_ON_RETRY = frozenset({"_flush_time"})

_IDENTITIES = {
    "$identity_login_id": "member_id",
    "$identity_mobile": "phone",
    "$identity_email": "email",
    "$identity_mp_unionid": "wx_unionid",
    "$identity_unionid": "wx_unionid",
    "$identity_cookie_id": "anonymous_id",
    "$identity_mp_id": "anonymous_id",
    "$identity_distinct_id": "anonymous_id",
    "$identity_android_id": "device_id",
    "$identity_android_uuid": "device_id",
    "$identity_ios_uuid": "device_id",
    "$identity_ios_vendor_id": "device_id",
    "$identity_idfv": "device_id",
    "$identity_harmony_uuid": "device_id",
}
_ANONYMOUS = "$identity_anonymous_id"
_OPENID = re.compile(r"\$identity_(?:mp_)?(?:(?P<appid>.+)_)?openid")


class _Lib(msgspec.Struct, rename=lambda name: f"${name}", gc=False):
    lib: str | None = None
    app_version: str | None = None


class _Properties(msgspec.Struct, rename=lambda name: f"${name}", gc=False):
    """The preset properties that an event has a place for."""

    url: str | None = None
    url_path: str | None = None
    title: str | None = None
    referrer: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    latest_utm_source: str | None = None
    latest_utm_medium: str | None = None
    latest_utm_campaign: str | None = None
    latest_utm_term: str | None = None
    latest_utm_content: str | None = None
    app_id: str | None = None
    app_name: str | None = None
    app_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    model: str | None = None
    browser: str | None = None
    ip: str | None = None
    event_session_id: Scalar = None
    is_login_id: Any = None


class _Record(msgspec.Struct, rename={"track_id": "_track_id", "flush_time": "_flush_time"}):
    """One record; `properties` stay JSON text."""

    type: str | None = None
    event: Scalar = None
    time: Scalar = None
    distinct_id: Scalar = None
    anonymous_id: Scalar = None
    login_id: Scalar = None
    original_id: Scalar = None
    identities: dict[str, Scalar] | None = None
    properties: Raw = NOTHING
    lib: _Lib | None = None
    project: Scalar = None
    token: Scalar = None
    item_type: Scalar = None
    item_id: Scalar = None
    track_id: Scalar = None
    flush_time: Scalar = None


_RECORD = msgspec.json.Decoder(_Record)
_PROPERTIES = msgspec.json.Decoder(_Properties)
_NO_LIB = _Lib()


class Delivery:
    """The records of one hit: what they share, and each one's event. `appid` completes an openid without one."""

    def __init__(self, hit: Hit, hit_id: str, keys: Keys, *, appid: str) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._keys = keys
        self._appid = appid or "-"

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = decoded(record, _RECORD)
        call = (told.type or "").strip() or "track"
        original = _original_name(told, call)
        kind, name = _type_and_name(call, original)
        source = self._keys.source(text(told.token) or text(told.project))
        properties = without_placeholders(properties_json(told.properties), _PRESET)
        preset = decoded(properties, _PROPERTIES)
        lib = told.lib or _NO_LIB
        platform = _platform(lib.lib or "", preset)
        client_id = self._client_id(told, index, record)
        identifiers = in_order(self._identifiers(told, preset, platform))
        sent = None if platform == "server" else parse_time(told.flush_time, always_ms=True)
        url = preset.url or ""
        return Event(
            id=event_id(source, client_id),
            client_id=client_id,
            type=kind,
            name=name,
            original_name=original,
            occurred_at=occurred_at(hit.received_at, said=parse_time(told.time, always_ms=True), sent=sent),
            received_at=hit.received_at,
            source=source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform=platform,
            app=App(preset.app_id or "", preset.app_name or "", preset.app_version or lib.app_version or ""),
            session=text(preset.event_session_id),
            # Who was unbound must not be joined by the very event that says so.
            identifiers=identifiers[:1] if call == _UNBIND else identifiers,
            page=Page(url, preset.url_path or path_of(url), preset.title or "", preset.referrer or ""),
            campaign=NO_CAMPAIGN if call in _OPERATIONS else _campaign(preset, properties),
            device=self._device(preset, platform),
            ip=preset.ip or ("" if platform == "server" else hit.client_ip),
            properties=_event_properties(told, call, properties),
            traits=_traits(call, properties),
            fact=_fact(call, identifiers),
        )

    def _client_id(self, told: _Record, index: int, record: bytes) -> str:
        """`_track_id` is nine digits at most, so it counts only with everything else that names the event."""
        if told.track_id is not None and told.time is not None:
            parts = (told.distinct_id, told.type, told.event, told.time, told.track_id)
            return hashed(*(text(part) for part in parts))
        moment = "" if told.time is not None else f"{self._hit_id}/{index}"
        return content_id(record, without=_CHANGES_ON_RETRY, moment=moment)

    def _identifiers(self, told: _Record, preset: _Properties, platform: str) -> Iterator[Identifier]:
        anonymous = "device_id" if platform in APPS else "anonymous_id"
        login = text(told.login_id)
        distinct = text(told.distinct_id)
        for key, value in (told.identities or {}).items():
            yield from self._identity(key, text(value), anonymous)
        if login:
            yield from self._told_id(login, "member_id", anonymous)
        if distinct and distinct != login:
            is_login = preset.is_login_id is True or told.type == "track_signup"
            known = text((told.identities or {}).get("$identity_login_id"))
            yield from self._told_id(distinct, "member_id" if is_login or distinct == known else anonymous, anonymous)
        for other in (told.anonymous_id, told.original_id):
            if value := text(other):
                yield from self._told_id(value, anonymous, anonymous)

    def _told_id(self, value: str, kind: str, anonymous: str) -> Iterator[Identifier]:
        """An id, or one that is spelled with its key: `$identity_mobile+13800138000`."""
        key, plus, rest = value.partition("+")
        if plus and key.startswith("$identity_"):
            return self._identity(key, rest, anonymous)
        return iter(() if is_placeholder(value) else (Identifier(kind, value),))

    def _identity(self, key: str, value: str, anonymous: str) -> Iterator[Identifier]:
        """Keys that a team made up count where they are named like a kind of ours, and are left out else."""
        kind = _IDENTITIES.get(key) or (anonymous if key == _ANONYMOUS else "")
        if not kind and (openid := _OPENID.fullmatch(key)):
            kind = "wx_openid"
            value = value and f"{openid['appid'] or self._appid}/{value}"
        if not kind:
            kind = key.removeprefix("$identity_")
        if value and not is_placeholder(value) and kind in KIND_ORDER:
            yield Identifier(kind, value)

    def _device(self, preset: _Properties, platform: str) -> Device:
        device = NO_DEVICE if platform == "server" else device_of(self._hit.headers.get("user-agent", ""))
        if platform not in APPS and not (preset.os or preset.model or preset.browser):
            return device
        kind = device.kind
        if platform in APPS:
            kind = handset(preset.model or "")
        return Device(
            kind=kind or ("mobile" if platform == "mini_program" else ""),
            os=preset.os or device.os,
            os_version=preset.os_version or device.os_version,
            browser=preset.browser or device.browser,
            model=preset.model or device.model,
        )


def _original_name(told: _Record, call: str) -> str:
    """The event's name; for profiles, items and types nobody knows, which have none, the type."""
    name = text(told.event)
    if not name and call == "track":
        raise NotAnEventError("`event`, the event's name, is missing")
    return name or call


def _type_and_name(call: str, original: str) -> tuple[EventType, str]:
    known = _TYPES.get(call)
    if known:
        return known
    if call == _UNBIND:
        return EventType.ALIAS, original
    if call.startswith("profile_"):
        return EventType.PROFILE, names.PROFILE_UPDATED
    name = names.SENSORS.get(original, original)
    return names.TYPES.get(name, EventType.TRACK), name


def _platform(lib: str, preset: _Properties) -> str:
    lib = lib.lower()
    if lib in _PLATFORMS:
        return _PLATFORMS[lib] or app_platform(preset.os or "")
    if "mini" in lib or lib.endswith("game"):
        return "mini_program"
    return "server" if lib else ""


def _campaign(preset: _Properties, properties: bytes) -> Campaign:
    """What the event's page tells, and where that is nothing, what led the visitor here last."""
    told = campaign_of(_told_campaign(preset, _clicks(properties)), preset.url or "")
    latest = preset.latest_utm_source
    if not (latest or preset.latest_utm_campaign) or (told.source and told.source != latest):
        return told
    return Campaign(
        told.source or latest or "",
        told.medium or preset.latest_utm_medium or "",
        told.name or preset.latest_utm_campaign or "",
        told.term or preset.latest_utm_term or "",
        told.content or preset.latest_utm_content or "",
        told.click_ids,
    )


def _told_campaign(preset: _Properties, clicks: dict[str, str]) -> Campaign:
    told = (preset.utm_source, preset.utm_medium, preset.utm_campaign, preset.utm_term, preset.utm_content)
    if not (clicks or any(told)):
        return NO_CAMPAIGN
    source, medium, name, term, content = (each or "" for each in told)
    return Campaign(source, medium, name, term, content, clicks)


def _clicks(properties: bytes) -> dict[str, str]:
    """Click ids among the properties: a team names them as its own channels, and the SDK keeps the latest of each."""
    if not may_hold_click_ids(properties):
        return {}
    said = msgspec.json.decode(properties)
    return {**campaign_in(said, "_latest_").click_ids, **campaign_in(said).click_ids}


def _event_properties(told: _Record, call: str, properties: bytes) -> bytes:
    if call in _OPERATIONS:
        return b"{}"
    if call.startswith("item_"):
        item = {"item_type": text(told.item_type), "item_id": text(told.item_id)}
        return with_fields(properties, as_json(item).encode())
    return properties


def _traits(call: str, properties: bytes) -> tuple[TraitChange, ...]:
    operation = _OPERATIONS.get(call)
    if operation is None:
        return ()
    said = plain_value(properties)
    said.pop(_LOGIN_FLAG, None)
    return trait_changes(operation, said)


def _fact(call: str, identifiers: tuple[Identifier, ...]) -> Fact:
    if len(identifiers) > 1 and call != _UNBIND and (call in _BINDS or identifiers[0].kind == "member_id"):
        return Fact.LOGIN
    return Fact.CO_OCCURRENCE
