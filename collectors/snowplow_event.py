"""One event of a Snowplow tracker: a flat object of strings, some of which hold JSON, and what it tells.

A self-describing event is named by its schema and brings its data as properties. What the tracker adds to every
event is kept beside them under its name on the wire with `$` before it (`$tz`, `$res`, `$vid`), and the entities as
they came under `$entities`; those of Snowplow's own schemas are also read, for session, device, app and screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from cdp.model import NO_APP, NO_CAMPAIGN, App, Device, Event, EventType, Hit, Identifier, Millis, Page, as_json
from collectors import event_names as names
from collectors.campaign import campaign_of
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id
from collectors.numbers import as_number
from collectors.platforms import handset
from collectors.record import (
    Keys,
    NotAnEventError,
    Scalar,
    decoded,
    fact_of,
    in_order,
    path_of,
    plain_value,
    properties_json,
    set_traits,
    text,
    with_fields,
)
from collectors.snowplow_entities import Entities, Fields, name_of, nested, schemed
from collectors.user_agent import device_of

_NAMES = {"pv": "page_view", "pp": "page_ping", "tr": "transaction", "ti": "transaction_item"}
_PROPERTIES = {
    "se_ca": "category", "se_ac": "action", "se_la": "label", "se_pr": "property", "se_va": "value",
    "pp_mix": "min_x", "pp_max": "max_x", "pp_miy": "min_y", "pp_may": "max_y",
    "tr_id": "order_id", "tr_af": "affiliation", "tr_tt": "total", "tr_tx": "tax", "tr_sh": "shipping",
    "tr_ci": "city", "tr_st": "state", "tr_co": "country", "tr_cu": "currency",
    "ti_id": "order_id", "ti_sk": "sku", "ti_nm": "name", "ti_ca": "category", "ti_pr": "price", "ti_qu": "quantity",
    "ti_cu": "currency",
}  # fmt: skip
"""What structured events, page pings and orders tell, in words."""
_NUMBERS = frozenset(
    {"se_va", "pp_mix", "pp_max", "pp_miy", "pp_may", "tr_tt", "tr_tx", "tr_sh", "ti_pr", "ti_qu"}
)  # fmt: skip
_HAS_A_PLACE = frozenset(
    {
        "e", "eid", "aid", "dtm", "stm", "ttm", "url", "page", "refr", "uid", "duid", "tnuid", "nuid", "sid", "lang",
        "ip", "ua", "p", "ue_pr", "ue_px", "co", "cx",
    }
)  # fmt: skip
_CHANGES_ON_RETRY = frozenset({"stm"})

_PLATFORMS = {"srv": "server", "pc": "desktop", "cnsl": "console", "app": ""}
_MOBILE_TRACKERS = {"ios": "ios", "andr": "android"}
_SYSTEMS = {"ios": "iOS", "android": "Android"}
_SERVER_TRACKER = re.compile(r"(?:py|node|rb|java|go|golang|php|scala|rust)-")
_DEVICE_IDS = ("appleIdfv", "appleIdfa", "androidIdfa", "appSetId", "openIdfa")
_NOBODY = "00000000-0000-0000-0000-000000000000"
"""What trackers and systems send in place of an id that the person denied."""


class _Screen(msgspec.Struct, gc=False):
    name: str | None = None


class _Identify(msgspec.Struct, gc=False):
    """The data of Snowplow's own identify event."""

    id: Scalar = None
    email: str | None = None


_SCREEN = msgspec.json.Decoder(_Screen)
_IDENTIFY = msgspec.json.Decoder(_Identify)
_NOBODY_SAID = _Identify()


class Delivery:
    """The events of one hit: what they share, and each one's event."""

    def __init__(self, hit: Hit, hit_id: str, keys: Keys) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._keys = keys
        self._anonymous = "sp-anonymous" in hit.headers

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = plain_value(record)
        if not isinstance(told, dict):
            raise NotAnEventError("an event is a JSON object")
        source = self._keys.source(text(told.get("aid")))
        original, own, data = _what(told)
        name = names.SNOWPLOW.get(original, original) if own else original
        entities = Entities(told)
        machine = entities.named("mobile_context") or entities.named("desktop_context")
        said = decoded(data, _IDENTIFY) if name == names.IDENTIFIED and own else _NOBODY_SAID
        relayed = text(told.get("p")) == "srv" or _SERVER_TRACKER.match(text(told.get("tv"))) is not None
        platform = _platform(told, machine, relayed=relayed)
        client_id = text(told.get("eid")) or self._stand_in(told, index, record)
        identifiers = in_order(self._identifiers(told, said, entities))
        page = _page(told, entities, data if original == "screen_view" else b"{}")
        return Event(
            id=event_id(source, client_id),
            client_id=client_id,
            type=EventType.IDENTIFY if said is not _NOBODY_SAID else names.TYPES.get(name, EventType.TRACK),
            name=name,
            original_name=original,
            occurred_at=_occurred_at(told, hit.received_at, relayed=relayed),
            received_at=hit.received_at,
            source=source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform=platform,
            app=_app(entities.named("application")),
            session=text(told.get("sid")) or text(entities.named("client_session").get("sessionId")),
            identifiers=identifiers,
            page=page,
            campaign=campaign_of(NO_CAMPAIGN, page.url or text(entities.named("deep_link").get("url"))),
            device=self._device(told, machine, platform, relayed=relayed),
            locale=_locale(told, entities),
            ip=self._ip(told, relayed=relayed),
            properties=_properties(told, data, entities),
            traits=set_traits({"email": said.email}) if said.email else (),
            fact=fact_of(identifiers),
        )

    def _stand_in(self, told: Fields, index: int, record: bytes) -> str:
        timed = bool(text(told.get("dtm")) or text(told.get("ttm")))
        moment = "" if timed else f"{self._hit_id}/{index}"
        return content_id(record, without=_CHANGES_ON_RETRY, moment=moment)

    def _identifiers(self, told: Fields, said: _Identify, entities: Entities) -> Iterator[Identifier]:
        """The network user id is the browser's over many sites: a visitor's second anonymous id."""
        if user := text(said.id) or text(told.get("uid")):
            yield Identifier("member_id", user)
        if email := text(said.email):
            yield Identifier("email", email)
        visitors = [told.get("duid"), entities.named("client_session").get("userId")]
        if not self._anonymous:
            visitors += [told.get("tnuid"), told.get("nuid")]
        for visitor in map(text, visitors):
            if visitor and visitor != _NOBODY:
                yield Identifier("anonymous_id", visitor)
        if mobile := entities.named("mobile_context"):
            for device in (text(mobile.get(name)) for name in _DEVICE_IDS):
                if device and device != _NOBODY:
                    yield Identifier("device_id", device)

    def _ip(self, told: Fields, *, relayed: bool) -> str:
        """A server's own address says nothing of the person; it may tell theirs."""
        if self._anonymous:
            return ""
        return text(told.get("ip")) or ("" if relayed else self._hit.client_ip)

    def _device(self, told: Fields, machine: Fields, platform: str, *, relayed: bool) -> Device:
        user_agent = text(told.get("ua")) or ("" if relayed else self._hit.headers.get("user-agent", ""))
        device = device_of(user_agent)
        if not machine:
            return device
        system, model = text(machine.get("osType")), text(machine.get("deviceModel"))
        kind = device.kind
        if platform in ("ios", "android"):
            kind = handset(model)
        return Device(
            kind=kind,
            os=_SYSTEMS.get(system.lower(), system) or device.os,
            os_version=text(machine.get("osVersion")) or device.os_version,
            browser=device.browser,
            model=model or device.model,
        )


def _what(told: Fields) -> tuple[str, bool, bytes]:
    """The event's name, whether it is one of Snowplow's own, and its properties so far."""
    kind = text(told.get("e"))
    if not kind:
        raise NotAnEventError("`e`, the kind of event, is missing")
    if kind == "ue":
        return _self_described(told)
    properties = as_json(_said(told)).encode()
    if kind == "se":
        action = text(told.get("se_ac"))
        if not action:
            raise NotAnEventError("`se_ac`, the action of a structured event, is missing")
        return action, False, properties
    return _NAMES.get(kind, kind), kind in _NAMES, properties


def _said(told: Fields) -> dict[str, Any]:
    return {
        word: as_number(told[field]) if field in _NUMBERS else told[field]
        for field, word in _PROPERTIES.items()
        if field in told
    }


def _self_described(told: Fields) -> tuple[str, bool, bytes]:
    outer = schemed(nested(told, "ue_pr", "ue_px"))
    inner = schemed(bytes(outer.data)) if outer else None
    if inner is None:
        raise NotAnEventError("`ue_pr` or `ue_px`, a self-describing event, is missing or no JSON")
    name, own = name_of(text(inner.schema))
    if not name:
        raise NotAnEventError("the schema of a self-describing event looks like iglu:vendor/name/format/version")
    schema = b'"$schema":' + as_json(inner.schema).encode()
    return name, own, with_fields(properties_json(inner.data), b"{}", schema)


def _platform(told: Fields, machine: Fields, *, relayed: bool) -> str:
    platform = text(told.get("p"))
    if platform == "mob":
        system = text(machine.get("osType")).lower()
        return system if system in _SYSTEMS else _MOBILE_TRACKERS.get(text(told.get("tv")).partition("-")[0], "")
    if platform == "pc" and relayed:
        # What the server trackers say of themselves unless told otherwise.
        return "server"
    return _PLATFORMS.get(platform, platform)


def _occurred_at(told: Fields, received_at: Millis, *, relayed: bool) -> Millis:
    """A time that the team calls true is taken as it is; a device's is corrected by when it sent."""
    true = _millis(told.get("ttm"))
    if true is not None:
        return occurred_at(received_at, said=true)
    return occurred_at(received_at, said=_millis(told.get("dtm")), sent=None if relayed else _millis(told.get("stm")))


def _millis(value: object) -> Millis | None:
    """Digits are never read as a calendar date, which some of them also are."""
    digits = text(value)
    return parse_time(int(digits), always_ms=True) if digits.isdecimal() and len(digits) <= 16 else None


def _app(application: Fields) -> App:
    """The key is no name of the app: it stays out of the event."""
    version = text(application.get("version"))
    return App(version=version) if version else NO_APP


def _locale(told: Fields, entities: Entities) -> str:
    mobile, browser = entities.named("mobile_context"), entities.named("browser_context")
    return text(told.get("lang")) or text(mobile.get("language")) or text(browser.get("browserLanguage"))


def _page(told: Fields, entities: Entities, screen: bytes) -> Page:
    """A screen is a page that has a name and no address; `screen` are the properties of a screen view."""
    url = text(told.get("url"))
    title = text(told.get("page"))
    if not url and not title:
        title = text(decoded(screen, _SCREEN).name) or text(entities.named("screen").get("name"))
    return Page(url, path_of(url), title, text(told.get("refr")))


def _properties(told: Fields, data: bytes, entities: Entities) -> bytes:
    """What the event says, what the tracker adds, and the entities."""
    added = {
        f"${field}": value
        for field, value in told.items()
        if field not in _HAS_A_PLACE and field not in _PROPERTIES and value is not None
    }
    if entities.json:
        return with_fields(data, as_json(added).encode(), b'"$entities":' + entities.json)
    for field in ("co", "cx"):
        if field in told:
            added[f"${field}"] = told[field]
    return with_fields(data, as_json(added).encode()) if added else data
