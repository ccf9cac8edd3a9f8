"""One record of a GrowingIO SDK, and the event that it tells of.

Records have no id, so they are told apart by all that they say: SDKs send the very same record again, by whatever
way, and two events of one millisecond differ in their sequence number or their attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import (
    DAY_MS,
    NO_CAMPAIGN,
    NO_DEVICE,
    NO_PAGE,
    App,
    Device,
    Event,
    EventType,
    Fact,
    Hit,
    Identifier,
    Millis,
    Page,
    as_json,
)
from collectors import event_names as names
from collectors.campaign import campaign_of
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id
from collectors.platforms import APPS, handset
from collectors.record import (
    KIND_ORDER,
    NOTHING,
    NotAnEventError,
    Scalar,
    contacts_of,
    decoded,
    in_order,
    plain_value,
    properties_json,
    set_traits,
    text,
    with_fields,
)
from collectors.user_agent import device_of

_WEIXIN = "minp"
_PLATFORMS = {
    "web": "web",
    "android": "android",
    "ios": "ios",
    "harmonyos": "harmony",
    **dict.fromkeys(
        (_WEIXIN, "alip", "baidup", "bytedance", "jdp", "kuaishoup", "qq", "quickapp", "tbp", "xhsp"), "mini_program"
    ),
    # The Java SDK says none.
    **dict.fromkeys(("", "go", "java", "node", "php", "python"), "server"),
}

_CUSTOM, _ACTIVATE = "CUSTOM", "ACTIVATE"
_OTHER_SIGNS = re.compile(r"[\W_]")
_USER_KEYS = {
    **{_OTHER_SIGNS.sub("", kind): kind for kind in KIND_ORDER},
    # What a user id without a key is called in GrowingIO's own exports.
    **dict.fromkeys(("", "basicuserid", "userid"), "member_id"),
    **dict.fromkeys(("mobile", "mobilephone", "phonenumber", "tel", "手机", "手机号", "手机号码"), "phone"),
    **dict.fromkeys(("mail", "邮箱"), "email"),
    **dict.fromkeys(("unionid", "wechatunionid", "weixinunionid"), "wx_unionid"),
    **dict.fromkeys(("openid", "wechatopenid", "weixinopenid"), "wx_openid"),
}
_OF_WEIXIN = frozenset({"wx_unionid", "wx_openid"})
_OPENID = re.compile(r"o[\w-]{27}", re.ASCII)
"""What `identify` of the mini-program SDK puts in the place of the device id, which is else a UUID."""


class _Record(msgspec.Struct, rename="camel", gc=False):
    """One record; `attributes` stay JSON text."""

    event_type: Scalar = None
    event_name: Scalar = None
    device_id: Scalar = None
    user_id: Scalar = None
    user_key: Scalar = None
    session_id: Scalar = None
    timestamp: Scalar = None
    platform: str | None = None
    domain: str | None = None
    path: str | None = None
    query: str | None = None
    title: str | None = None
    referral_page: str | None = None
    protocol_type: str | None = None
    app_name: str | None = None
    app_version: str | None = None
    language: str | None = None
    platform_version: str | None = None
    operating_system: str | None = None
    device_model: str | None = None
    device_type: str | None = None
    attributes: Raw = NOTHING


class _Resource(msgspec.Struct, omit_defaults=True, gc=False):
    key: Scalar = None
    id: Scalar = None
    attributes: dict[str, Scalar] | None = None


class _Rest(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """What an event has no place for; it goes with the attributes. `gioId`, the last user of a device who logged in,
    is left out: after a logout it is somebody else's id."""

    text_value: Scalar = None
    xpath: Scalar = None
    xcontent: Scalar = None
    hyperlink: Scalar = None
    index: Scalar = None
    page_show_timestamp: Scalar = None
    app_channel: Scalar = None
    app_state: Scalar = None
    url_scheme: Scalar = None
    network_state: Scalar = None
    device_brand: Scalar = None
    screen_width: Scalar = None
    screen_height: Scalar = None
    orientation: Scalar = None
    timezone_offset: Scalar = None
    latitude: Scalar = None
    longitude: Scalar = None
    data_source_id: Scalar = None
    sdk_version: Scalar = None
    imei: Scalar = None
    android_id: Scalar = None
    oaid: Scalar = None
    google_advertising_id: Scalar = None
    idfa: Scalar = None
    idfv: Scalar = None
    resource_item: _Resource | None = None
    extra_sdk: dict[str, Scalar] | None = None


class _Item(msgspec.Struct, rename="camel", gc=False):
    key: Scalar = None
    id: Scalar = None
    attributes: Raw = NOTHING


class _UserMapping(msgspec.Struct, rename="camel", gc=False):
    identifies: dict[str, Scalar] | None = None
    send_time: Scalar = None


_RECORD = msgspec.json.Decoder(_Record)
_REST = msgspec.json.Decoder(_Rest)
_ITEM = msgspec.json.Decoder(_Item)
_USER_MAPPING = msgspec.json.Decoder(_UserMapping)
_encode = msgspec.json.Encoder().encode


class Delivery:
    """The records of one hit: what they share, and each one's event.

    `sent_at` is the send time of the address; `appid` completes an openid without one.
    """

    def __init__(self, hit: Hit, hit_id: str, *, sent_at: str, appid: str) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._stamp = sent_at
        self._sent = parse_time(sent_at, always_ms=True)
        self._appid = appid or "-"

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        told = decoded(record, _RECORD)
        original, name = _names_of(told)
        spoken = (told.platform or "").strip().lower()
        platform = _PLATFORMS.get(spoken, "")
        changes = name == names.PROFILE_UPDATED
        attributes = properties_json(told.attributes)
        appid = (told.domain if spoken == _WEIXIN else "") or self._appid
        user, visitor = tuple(_user(told, spoken, appid)), _visitor(told, spoken, appid)
        contacts = contacts_of(plain_value(attributes)) if changes else ()
        identifiers = in_order((*user, *visitor, *contacts))
        page = _page(told, platform, self._hit.headers.get("referer", ""))
        return self._built(
            record,
            index,
            said=parse_time(told.timestamp, always_ms=True),
            sent=None if platform == "server" else self._sent,
            type=EventType.PROFILE if changes else names.TYPES.get(name, EventType.TRACK),
            name=name,
            original_name=original,
            platform=platform,
            app=_app(told, platform),
            session=text(told.session_id),
            identifiers=identifiers,
            page=page,
            campaign=NO_CAMPAIGN if changes else campaign_of(NO_CAMPAIGN, page.url),
            device=self._device(told, platform),
            locale=told.language or "",
            ip="" if platform == "server" else self._hit.client_ip,
            properties=b"{}" if changes else _joined(attributes, _encode(decoded(record, _REST))),
            traits=set_traits(plain_value(attributes)) if changes else (),
            fact=Fact.LOGIN if user and len(identifiers) > 1 else Fact.CO_OCCURRENCE,
        )

    def item(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        told = decoded(record, _ITEM)
        item = as_json({"item_type": text(told.key), "item_id": text(told.id)}).encode()
        return self._built(
            record,
            index,
            # What is said of an item twice on one day is the retry of a client that heard no answer.
            moment=str(self._hit.received_at // DAY_MS),
            type=EventType.ITEM,
            name=names.ITEM_UPDATED,
            original_name="item",
            platform="server",
            properties=_joined(properties_json(told.attributes), item),
        )

    def user_mapping(self, index: int, record: bytes) -> Event:
        """Ids of one user, each under its user key. Raises NotAnEventError."""
        told = decoded(record, _USER_MAPPING)
        known = ((key, text(value)) for key, value in (told.identifies or {}).items())
        identifiers = in_order(_identifier(key, value, "", self._appid) for key, value in known if value)
        return self._built(
            record,
            index,
            said=parse_time(told.send_time, always_ms=True),
            type=EventType.ALIAS,
            name=names.ALIASED,
            original_name="user-mapping",
            platform="server",
            identifiers=identifiers,
            fact=Fact.LOGIN if len(identifiers) > 1 else Fact.CO_OCCURRENCE,
        )

    def _built(
        self,
        record: bytes,
        index: int,
        *,
        said: Millis | None = None,
        sent: Millis | None = None,
        moment: str = "",
        **fields: Any,
    ) -> Event:
        """`moment` tells a record without a time from the next one like it, where the request says no time either."""
        hit = self._hit
        moment = "" if said is not None else self._stamp or moment or f"{self._hit_id}/{index}"
        client_id = content_id(record, without=(), moment=moment)
        return Event(
            id=event_id(hit.source, client_id),
            client_id=client_id,
            occurred_at=occurred_at(hit.received_at, said=said, sent=sent),
            received_at=hit.received_at,
            source=hit.source,
            dialect=hit.dialect,
            hit=self._hit_id,
            **fields,
        )

    def _device(self, told: _Record, platform: str) -> Device:
        if platform == "server":
            return NO_DEVICE
        if platform in APPS:
            spoken = told.platform or ""
            return Device(
                kind=handset(told.device_type or ""),
                os=spoken,
                os_version=(told.platform_version or "").removeprefix(spoken).strip(),
                model=told.device_model or "",
            )
        device = device_of(self._hit.headers.get("user-agent", ""))
        if platform != "mini_program":
            return device
        return Device(
            kind=device.kind or "mobile",
            # Such as "Weixin-iOS".
            os=(told.operating_system or "").rpartition("-")[2] or device.os,
            os_version=device.os_version,
            browser=device.browser,
            model=told.device_model or device.model,
        )


def _names_of(told: _Record) -> tuple[str, str]:
    """Their name and ours. A team's own event may be called like a type, so only names with `$` are the SDKs'."""
    call = text(told.event_type) or _CUSTOM
    named = text(told.event_name) if call in (_CUSTOM, _ACTIVATE) else call
    if not named and call == _CUSTOM:
        raise NotAnEventError("`eventName`, the event's name, is missing")
    original = named or call
    is_theirs = call == _CUSTOM and not original.startswith("$")
    return original, original if is_theirs else names.GROWINGIO.get(original, original)


def _user(told: _Record, platform: str, appid: str) -> Iterator[Identifier]:
    if value := text(told.user_id):
        yield _identifier(text(told.user_key), value, platform, appid)


def _visitor(told: _Record, platform: str, appid: str) -> Iterator[Identifier]:
    if device := text(told.device_id):
        yield Identifier("device_id", device)
        if platform == _WEIXIN and _OPENID.fullmatch(device):
            yield Identifier("wx_openid", f"{appid}/{device}")


def _identifier(user_key: str, value: str, platform: str, appid: str) -> Identifier:
    """A user id under its key. What a key of the team's own names stands behind it in a member id: so ids of two keys
    are never one, and the policy can let a person have one of each with `limit_per = "/"`."""
    kind = _kind_of(user_key)
    if kind in _OF_WEIXIN and _PLATFORMS.get(platform) == "mini_program" and platform != _WEIXIN:
        kind = None
    if kind is None:
        return Identifier("member_id", f"{user_key.replace('%', '%25').replace('/', '%2F')}/{value}")
    if kind == "wx_openid" and "/" not in value:
        value = f"{appid}/{value}"
    return Identifier(kind, value)


@lru_cache(maxsize=1024)
def _kind_of(user_key: str) -> str | None:
    return _USER_KEYS.get(_OTHER_SIGNS.sub("", user_key).lower())


def _page(told: _Record, platform: str, referer: str) -> Page:
    """SDKs of browsers send an address in parts, the anchor behind the path, and the scheme with page views alone."""
    path, query = told.path or "", told.query or ""
    question = f"?{query}" if query else ""
    url = ""
    if told.domain and (platform == "web" or told.protocol_type):
        path, sign, anchor = path.partition("#")
        scheme = told.protocol_type or ("http" if referer.startswith(f"http://{told.domain}/") else "https")
        url = f"{scheme}://{told.domain}{path}{question}{sign}{anchor}"
    elif path and (question or platform == "mini_program"):
        url = path + question
    elif not path:
        return NO_PAGE
    return Page(url, path, told.title or "", told.referral_page or "")


def _app(told: _Record, platform: str) -> App:
    # In an app's web view the domain is the page's.
    has_id = platform in APPS or platform == "mini_program"
    return App(
        id=(told.domain or "") if has_id and not told.protocol_type else "",
        name=told.app_name or "",
        version=told.app_version or "",
    )


def _joined(attributes: bytes, more: bytes) -> bytes:
    """One object with the fields of both; where both have a name, the team's own value stays."""
    if len(attributes) == len(b"{}"):
        return more
    own = plain_value(attributes)
    others = msgspec.json.decode(more, type=dict[str, Raw])
    if own.keys().isdisjoint(others):
        return with_fields(attributes, more)
    return with_fields(attributes, _encode({name: value for name, value in others.items() if name not in own}))
