"""One call of a Segment or RudderStack SDK, and the event that it tells of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import (
    NO_APP,
    NO_CAMPAIGN,
    NO_PAGE,
    App,
    Campaign,
    Device,
    Event,
    EventType,
    Fact,
    Hit,
    Identifier,
    Millis,
    Page,
    TraitChange,
    as_json,
)
from collectors import event_names as names
from collectors.campaign import CLICK_IDS, campaign_of
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id
from collectors.platforms import APPS, app_platform
from collectors.record import (
    KIND_ORDER,
    MAX_IDENTIFIERS,
    NOTHING,
    Keys,
    NotAnEventError,
    Scalar,
    contacts_of,
    decoded,
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

_PLATFORMS = {
    "xunji-web": "web",
    "xunji-mini": "mini_program",
    "xunji-python": "server",
    "analytics.js": "web",
    "@jitsu/js": "web",
    "RudderLabs JavaScript SDK": "web",
    "analytics-ios": "ios",
    "analytics-swift": "ios",
    "analytics-android": "android",
    "analytics-kotlin": "android",
    "rudder-ios-library": "ios",
    "com.rudderstack.android.sdk.core": "android",
}
_SERVER_LIBRARY = re.compile(r"analytics-(node|python|ruby|go|java|php|rust|clojure|c#|\.net)\b|analytics\.net", re.I)
_CHANGES_ON_RETRY = frozenset({"sentAt", "_metadata", "receivedAt", "integrations", "writeKey"})
_MERGED_KINDS = {
    "user_id": "member_id",
    "userId": "member_id",
    "phone": "phone",
    "email": "email",
    "anonymous_id": "anonymous_id",
    "anonymousId": "anonymous_id",
}


class _Library(msgspec.Struct, gc=False):
    name: str | None = None
    env: str | None = None


class _System(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None


class _Hardware(msgspec.Struct, gc=False):
    id: Scalar = None
    type: str | None = None
    model: str | None = None


class _Application(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None
    namespace: str | None = None


class _Context(msgspec.Struct, rename="camel", gc=False):
    page: Page | None = None
    campaign: Campaign | None = None
    referrer: Any = None
    client_ids: Any = None
    library: _Library | None = None
    app: _Application | None = None
    device: _Hardware | None = None
    os: _System | None = None
    user_agent: str | None = None
    locale: str | None = None
    ip: str | None = None
    session_id: Scalar = None
    traits: Raw = NOTHING
    proof: str | None = None
    bot: bool | None = None


class _Merged(msgspec.Struct, gc=False):
    type: str
    value: Scalar = None


class _Given(msgspec.Struct, gc=False):
    """An identifier as our own trackers and clients say it, such as a WeChat openid."""

    kind: str = ""
    value: Scalar = None


class _Call(msgspec.Struct, rename="camel", gc=False):
    """One record; `properties` and `traits` stay JSON text."""

    type: str | None = None
    event: Scalar = None
    name: Scalar = None
    category: Scalar = None
    user_id: Scalar = None
    anonymous_id: Scalar = None
    previous_id: Scalar = None
    group_id: Scalar = None
    message_id: Scalar = None
    timestamp: Scalar = None
    original_timestamp: Scalar = None
    sent_at: Scalar = None
    channel: str | None = None
    write_key: str | None = None
    context: _Context | None = None
    properties: Raw = NOTHING
    traits: Raw = NOTHING
    merge_properties: list[_Merged] | None = None
    identifiers: list[_Given] | None = None


_CALL = msgspec.json.Decoder(_Call)
_CONTEXT = msgspec.json.Decoder(_Context)
_PAGE = msgspec.json.Decoder(Page)
_NO_CONTEXT = _Context()

_TYPES = {
    "page": (EventType.PAGE, names.PAGE_VIEWED),
    "screen": (EventType.PAGE, names.PAGE_VIEWED),
    "identify": (EventType.IDENTIFY, names.IDENTIFIED),
    "group": (EventType.GROUP, names.GROUPED),
    "alias": (EventType.ALIAS, names.ALIASED),
    "merge": (EventType.ALIAS, names.ALIASED),
}
_LOGINS = frozenset({"identify", "alias", "merge"})


class Delivery:
    """The calls of one hit: what they share, and each one's event.

    `call` is what the path asks for, 'batch' where that says nothing; `sent_at` and `context` are the batch's.
    """

    def __init__(
        self, hit: Hit, hit_id: str, keys: Keys, *, call: str, sent_at: Any = None, context: Raw = NOTHING
    ) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._keys = keys
        self._call = call
        self._sent = parse_time(sent_at)
        self._shared = _shared_context(context)

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = decoded(record, _CALL)
        context = self._context(told)
        call = (told.type or "").strip().lower() or self._call
        original = original_name(told.event, call)
        kind, name = _TYPES.get(call) or (EventType.TRACK, names.SEGMENT.get(original, original))
        source = self._keys.source(text(told.write_key))
        platform = _platform(told, context)
        client_id = text(told.message_id) or self._stand_in(told, index, record)
        identifiers = in_order(_identifiers(told, context, call))
        page, properties = _page_and_properties(told, context, call)
        return Event(
            id=event_id(source, client_id),
            client_id=client_id,
            type=kind,
            name=name,
            original_name=original,
            occurred_at=self._occurred_at(told, platform),
            received_at=hit.received_at,
            source=source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform=platform,
            app=_app(context.app) if context.app else NO_APP,
            session=text(context.session_id),
            identifiers=identifiers,
            page=page,
            campaign=_campaign(context, page.url),
            device=self._device(context, platform),
            locale=context.locale or "",
            # A server stands between the person and us: its own address says nothing of them.
            ip=(context.ip or "") if platform == "server" else hit.client_ip,
            properties=properties,
            traits=_traits(told, context) if call == "identify" else (),
            fact=Fact.LOGIN if len(identifiers) > 1 and _proves_login(call, identifiers) else Fact.CO_OCCURRENCE,
            proof=(context.proof or "") if call == "identify" else "",
        )

    def _context(self, told: _Call) -> _Context:
        if self._shared is None:
            return told.context or _NO_CONTEXT
        if told.context is None:
            return self._shared
        shared, own = msgspec.structs.asdict(self._shared), msgspec.structs.asdict(told.context)
        return _Context(
            **{name: value if value not in (None, NOTHING) else shared[name] for name, value in own.items()}
        )

    def _stand_in(self, told: _Call, index: int, record: bytes) -> str:
        timed = told.timestamp is not None or told.original_timestamp is not None
        moment = "" if timed else f"{self._hit_id}/{index}"
        return content_id(record, without=_CHANGES_ON_RETRY, moment=moment)

    def _occurred_at(self, told: _Call, platform: str) -> Millis:
        received = self._hit.received_at
        said = parse_time(told.timestamp)
        if said is not None and told.channel:
            # RudderStack's SDKs take the time themselves in `originalTimestamp`; a `timestamp` is the caller's.
            return occurred_at(received, said=said)
        sent = None if platform == "server" else parse_time(told.sent_at) or self._sent
        return occurred_at(received, said=parse_time(told.original_timestamp) if said is None else said, sent=sent)

    def _device(self, context: _Context, platform: str) -> Device:
        user_agent = context.user_agent or ""
        if not user_agent and platform != "server":
            user_agent = self._hit.headers.get("user-agent", "")
        device = device_of(user_agent)
        if context.bot:
            device = msgspec.structs.replace(device, kind="bot")
        system, hardware = context.os, context.device
        if hardware is None and (system is None or not system.name):
            return device
        return Device(
            kind=device.kind or ("mobile" if platform in APPS else ""),
            os=(system and system.name) or device.os,
            os_version=(system and system.version) or device.os_version,
            browser=device.browser,
            model=(hardware and hardware.model) or device.model,
        )


def _shared_context(context: Raw) -> _Context | None:
    try:
        return decoded(bytes(context), _CONTEXT) if is_given(context) else None
    except NotAnEventError:
        return None


def original_name(event: Scalar, call: str) -> str:
    """The event's name, or that of the call. A type nobody knows is kept as an event of that name.

    Raises NotAnEventError where there is none.
    """
    name = text(event)
    if call in _TYPES:
        return call
    if not name and call in ("track", "batch", "import"):
        raise NotAnEventError("`event`, the event's name, is missing")
    return name or call


def _platform(told: _Call, context: _Context) -> str:
    library = (context.library and context.library.name) or ""
    known = _PLATFORMS.get(library)
    if known:
        # Jitsu has one library for pages and servers.
        return "server" if context.library and context.library.env == "node" else known
    if told.channel == "server" or _SERVER_LIBRARY.search(library):
        return "server"
    if "mini" in library.lower():
        return "mini_program"
    hardware = (context.device and context.device.type) or (context.os and context.os.name) or ""
    system = app_platform(hardware)
    if system:
        return system
    return "web" if told.channel == "web" or (context.page and context.page.url.startswith("http")) else ""


def _app(told: _Application) -> App:
    # RudderStack's browser SDK names itself here.
    if (told.namespace or "").startswith("com.rudderlabs."):
        return NO_APP
    return App(id=told.namespace or "", name=told.name or "", version=told.version or "")


def _campaign(context: _Context, url: str) -> Campaign:
    campaign = campaign_of(context.campaign or NO_CAMPAIGN, url)
    if not (context.client_ids or context.referrer):
        return campaign
    clicks = dict(_clicks(context))
    return msgspec.structs.replace(campaign, click_ids={**clicks, **campaign.click_ids}) if clicks else campaign


def _clicks(context: _Context) -> Iterator[tuple[str, str]]:
    """Click ids that cookies kept (Jitsu's `clientIds`), and by what ad an app was found (`referrer` of the mobile
    SDKs of old)."""
    kept, referrer = context.client_ids, context.referrer
    for name, value in kept.items() if isinstance(kept, dict) else ():
        if name in CLICK_IDS and (click := text(value)):
            yield name, click
        elif name == "fbc" and (click := text(value).rpartition(".")[2]):
            # Meta's cookie: fb.1.<time>.<fbclid>
            yield "fbclid", click
    if isinstance(referrer, dict) and (vendor := text(referrer.get("type"))) and (click := text(referrer.get("id"))):
        yield vendor, click


def _identifiers(told: _Call, context: _Context, call: str) -> list[Identifier]:
    found = []
    user = text(told.user_id)
    if user:
        found.append(Identifier("member_id", user))
    if anonymous := text(told.anonymous_id):
        found.append(Identifier("anonymous_id", anonymous))
    if context.device and (device := text(context.device.id)):
        found.append(Identifier("device_id", device))
    if call == "identify":
        found += contacts_of(_said_traits(told, context))
    elif call == "alias":
        previous = text(told.previous_id)
        # analytics.js sends alias('u2', 'u1') after identify('u1') with both ids the same: nothing is said.
        if previous and previous != user:
            found.append(Identifier("anonymous_id", previous))
    elif call == "merge":
        found += _merged(told.merge_properties or ())
    for given in (told.identifiers or ())[:MAX_IDENTIFIERS]:
        if given.kind in KIND_ORDER and (value := text(given.value)):
            found.append(Identifier(given.kind, value))
    return found


def _merged(properties: Iterable[_Merged]) -> Iterator[Identifier]:
    for merged in properties:
        if (kind := _MERGED_KINDS.get(merged.type)) and (value := text(merged.value)):
            yield Identifier(kind, value)


def _proves_login(call: str, identifiers: tuple[Identifier, ...]) -> bool:
    return call in _LOGINS or identifiers[0].kind == "member_id"


def _said_traits(told: _Call, context: _Context) -> dict[str, Any]:
    """Of `traits`, and of `context.traits`, where RudderStack puts them; the first wins."""
    said: dict[str, Any] = {}
    for raw in (context.traits, told.traits):
        if is_given(raw):
            traits = plain_value(bytes(raw))
            if isinstance(traits, dict):
                said |= traits
    return said


def _traits(told: _Call, context: _Context) -> tuple[TraitChange, ...]:
    return set_traits(_said_traits(told, context))


def _page_and_properties(told: _Call, context: _Context, call: str) -> tuple[Page, bytes]:
    """The page where it happened, and the properties as JSON text."""
    page = context.page or NO_PAGE
    if page.url and not page.path:
        page = Page(page.url, path_of(page.url), page.title, page.referrer)
    if call == "group":
        group = as_json({"group_id": text(told.group_id)}).encode()
        return page, with_fields(properties_json(told.properties), group, b'"traits":' + properties_json(told.traits))
    properties = properties_json(told.properties)
    if call not in ("page", "screen"):
        return page, properties
    own = decoded(properties, _PAGE) if len(properties) > len(b"{}") else NO_PAGE
    name = text(told.name)
    page = Page(
        url=own.url or page.url,
        path=own.path or page.path or path_of(own.url or page.url),
        title=own.title or page.title or name,
        referrer=own.referrer or page.referrer,
    )
    said = {"name": name, "category": text(told.category)}
    missing = {key: value for key, value in said.items() if value and f'"{key}"'.encode() not in properties}
    return page, with_fields(properties, as_json(missing).encode()) if missing else properties
