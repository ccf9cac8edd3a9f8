"""One event of a PostHog SDK, as it came, and the event that it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from cdp.model import (
    NO_APP,
    NO_CAMPAIGN,
    NO_DEVICE,
    App,
    Campaign,
    Device,
    Event,
    EventType,
    Hit,
    Millis,
    Operation,
    Page,
    TraitChange,
    as_json,
)
from collectors import event_names as names
from collectors.campaign import campaign_in, campaign_of
from collectors.clock import occurred_at, parse_time
from collectors.ids import content_id, event_id
from collectors.platforms import APPS, app_platform
from collectors.posthog_identity import ALIAS, GROUP, IDENTIFY, MERGE, identifiers_of
from collectors.record import (
    NOTHING,
    Keys,
    NotAnEventError,
    Scalar,
    contacts_of,
    decoded,
    is_given,
    path_of,
    plain_value,
    set_traits,
    text,
)
from collectors.user_agent import device_of

_RECORDINGS = frozenset({"$snapshot", "$snapshot_items"})
_TYPES = {
    IDENTIFY: (EventType.IDENTIFY, names.IDENTIFIED),
    ALIAS: (EventType.ALIAS, names.ALIASED),
    MERGE: (EventType.ALIAS, names.ALIASED),
    GROUP: (EventType.GROUP, names.GROUPED),
    "$set": (EventType.PROFILE, names.PROFILE_UPDATED),
    "$set_once": (EventType.PROFILE, names.PROFILE_UPDATED),
    "$unset": (EventType.PROFILE, names.PROFILE_UPDATED),
}
_AUTOCAPTURE = "$autocapture"
_PAGE_VIEW = "$pageview"

_SERVERS = ("node", "edge", "python", "go", "ruby", "php", "java", "server", "elixir", "rs", "dotnet")
_PLATFORMS = {
    "web": "web",
    "js": "web",
    "posthog-js": "web",
    "posthog-js-lite": "web",
    "posthog-ios": "ios",
    "posthog-android": "android",
    **{f"posthog-{server}": "server" for server in _SERVERS},
}
_MANY_SYSTEMS = frozenset({"posthog-react-native", "posthog-flutter", "posthog-unity", "posthog-kmp"})
_KINDS = {"desktop": "desktop", "mobile": "mobile", "tablet": "tablet", "tv": "tv"}

_OPTIONS = {
    "cookieless_mode": "$cookieless_mode",
    "disable_skew_correction": "$ignore_sent_at",
    "process_person_profile": "$process_person_profile",
    "product_tour_id": "$product_tour_id",
}
"""What the newer protocol moves out of the properties, and what it is called there."""
_CHANGES_ON_RETRY = frozenset({"api_key", "token", "$token", "sent_at", "offset"})


class _Told(
    msgspec.Struct,
    rename={
        "old_distinct_id": "$distinct_id",
        "old_token": "$token",
        "set": "$set",
        "set_once": "$set_once",
        "unset": "$unset",
    },
    gc=False,
):
    """One record; `properties` and the traits stay JSON text."""

    event: Scalar = None
    uuid: Scalar = None
    distinct_id: Scalar = None
    old_distinct_id: Scalar = None
    api_key: Scalar = None
    token: Scalar = None
    old_token: Scalar = None
    timestamp: Scalar = None
    offset: Scalar = None
    session_id: Scalar = None
    window_id: Scalar = None
    options: dict[str, Any] | None = None
    properties: Raw = NOTHING
    set: Raw = NOTHING
    set_once: Raw = NOTHING
    unset: Raw = NOTHING


_TOLD = msgspec.json.Decoder(_Told)


class Delivery:
    """The records of one hit: what they share, and each one's event.

    `key` is the batch's; `keyed` says that the request names a key besides those of its records; `nameless` is the
    name of a record without one, '' where it must have one; what is `historical` has the right time already.
    """

    def __init__(
        self,
        hit: Hit,
        hit_id: str,
        keys: Keys,
        *,
        key: str,
        keyed: bool,
        nameless: str = "",
        sent_at: Any = None,
        historical: bool = False,
    ) -> None:
        self._hit = hit
        self._hit_id = hit_id
        self._keys = keys
        self._key = key
        self._keyed = keyed
        self._nameless = nameless
        self._sent = None if historical else parse_time(sent_at)

    def event(self, index: int, record: bytes) -> Event:
        """Raises NotAnEventError."""
        hit = self._hit
        told = decoded(record, _TOLD)
        original = original_name(told.event, self._nameless)
        said = _said(told)
        source = self._keys.source(self._own_key(told, said))
        lib = self._library(said)
        platform = _platform(lib, said)
        set_now, traits = _traits(told, said)
        kind, name = _type_and_name(original, said)
        client_id = text(told.uuid) or text(said.get("$insert_id")) or self._stand_in(told, index, record)
        identifiers, fact = identifiers_of(
            original if told.event else "",
            told.distinct_id if told.distinct_id is not None else told.old_distinct_id,
            said,
            contacts_of(set_now),
            lib=lib,
            client=platform not in ("server", ""),
        )
        url = text(said.get("$current_url"))
        return Event(
            id=event_id(source, client_id),
            client_id=client_id,
            type=kind,
            name=name,
            original_name=original,
            occurred_at=self._occurred_at(told, said, platform),
            received_at=hit.received_at,
            source=source,
            dialect=hit.dialect,
            hit=self._hit_id,
            platform=platform,
            app=_app(said),
            session=text(said.get("$session_id")),
            identifiers=identifiers,
            page=_page(url, said, original),
            campaign=_campaign(url, said),
            device=self._device(said, platform),
            locale=text(said.get("$browser_language")) or text(said.get("$locale")),
            ip=self._ip(said, platform),
            properties=msgspec.json.encode(_own_properties(said, kind)),
            traits=traits,
            fact=fact,
        )

    def _own_key(self, told: _Told, said: dict[str, Any]) -> str:
        """The key that the record carries itself. Browsers send it as a property, out of which it is taken; a team's
        own property `token`, where the request names a key anyway, is none."""
        key = text(told.api_key) or text(told.token) or text(told.old_token)
        inner = text(said.get("token"))
        if inner and (not (key or self._keyed) or inner in (key, self._key) or self._keys.lookup(inner)):
            del said["token"]
            return key or inner
        return key

    def _library(self, said: Mapping[str, Any]) -> str:
        """`posthog-node`. The newer protocol names it in a header only, which is also the start of the user agent."""
        headers = self._hit.headers
        named = text(said.get("$lib")) or headers.get("posthog-sdk-info", "") or headers.get("user-agent", "")
        return named.partition("/")[0] if named.startswith("posthog-") else text(said.get("$lib"))

    def _stand_in(self, told: _Told, index: int, record: bytes) -> str:
        moment = "" if told.timestamp is not None else f"{self._hit_id}/{index}"
        return content_id(record, without=_CHANGES_ON_RETRY, moment=moment)

    def _occurred_at(self, told: _Told, said: Mapping[str, Any], platform: str) -> Millis:
        received = self._hit.received_at
        if isinstance(told.offset, int | float):
            return occurred_at(received, said=received - round(told.offset))
        trusted = platform == "server" or said.get("$ignore_sent_at") is True
        return occurred_at(received, said=parse_time(told.timestamp), sent=None if trusted else self._sent)

    def _ip(self, said: Mapping[str, Any], platform: str) -> str:
        """A server stands between the person and us, and $geoip_disable says that an address tells nothing."""
        hidden = platform == "server" or said.get("$geoip_disable") is True
        return text(said.get("$ip")) or ("" if hidden else self._hit.client_ip)

    def _device(self, said: Mapping[str, Any], platform: str) -> Device:
        user_agent = text(said.get("$raw_user_agent"))
        if platform == "server" and not user_agent:
            return NO_DEVICE
        found = device_of(user_agent or self._hit.headers.get("user-agent", ""))
        told_kind = _KINDS.get(text(said.get("$device_type")).lower(), "")
        return Device(
            kind=found.kind or told_kind or ("mobile" if platform in APPS else ""),
            os=text(said.get("$os")) or text(said.get("$os_name")) or found.os,
            os_version=text(said.get("$os_version")) or found.os_version,
            browser=text(said.get("$browser")) or found.browser,
            model=text(said.get("$device_model")) or found.model,
        )


def original_name(event: Scalar, nameless: str = "") -> str:
    """Raises NotAnEventError for what has no name, and for a piece of a recorded session."""
    name = text(event) or nameless
    if not name:
        raise NotAnEventError("`event`, the event's name, is missing")
    if name in _RECORDINGS:
        raise NotAnEventError("`event` names a piece of a recorded session; recordings are not kept")
    return name


def _said(told: _Told) -> dict[str, Any]:
    """The properties, with what the newer protocol has beside them. Raises NotAnEventError."""
    value = plain_value(bytes(told.properties)) if is_given(told.properties) else {}
    said: dict[str, Any] = value if isinstance(value, dict) else {"value": value}
    for name, field in (("$session_id", told.session_id), ("$window_id", told.window_id)):
        if field is not None:
            said.setdefault(name, field)
    if told.options:
        said |= {_OPTIONS[name]: value for name, value in told.options.items() if name in _OPTIONS and _is_flat(value)}
    return said


def _is_flat(value: Any) -> bool:
    return isinstance(value, bool | str)


def _traits(told: _Told, said: dict[str, Any]) -> tuple[dict[str, Any], tuple[TraitChange, ...]]:
    """What is set now, and all changes in the order in which they count; taken out of the properties.

    Nothing is learnt of who wants no profile. Null set once changes nothing: it would keep out what comes later.
    """
    set_now = _object(said.pop("$set", None)) | _object(told.set)
    set_once = _object(said.pop("$set_once", None)) | _object(told.set_once)
    unset = [*_list(said.pop("$unset", None)), *_list(told.unset)]
    if said.get("$process_person_profile") is False:
        return {}, ()
    return set_now, (
        *(
            TraitChange(Operation.SET_ONCE, name, as_json(value))
            for name, value in set_once.items()
            if value is not None
        ),
        *set_traits(set_now),
        *(TraitChange(Operation.UNSET, name) for name in unset if isinstance(name, str)),
    )


def _object(value: Any) -> dict[str, Any]:
    value = _value(value)
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    value = _value(value)
    return value if isinstance(value, list) else list(_object(value))


def _value(value: Any) -> Any:
    return (plain_value(bytes(value)) if is_given(value) else None) if isinstance(value, Raw) else value


def _type_and_name(original: str, said: Mapping[str, Any]) -> tuple[EventType, str]:
    known = _TYPES.get(original)
    if known:
        return known
    if original == _AUTOCAPTURE:
        name = names.POSTHOG_AUTOCAPTURE.get(text(said.get("$event_type")), original)
    else:
        name = names.POSTHOG.get(original, original)
    return names.TYPES.get(name, EventType.TRACK), name


def _platform(lib: str, said: Mapping[str, Any]) -> str:
    if said.get("$is_server") is True:
        return "server"
    if lib in _PLATFORMS:
        return _PLATFORMS[lib]
    if lib in _MANY_SYSTEMS:
        return app_platform(text(said.get("$os")) or text(said.get("$os_name")))
    return "mini_program" if "mini" in lib.lower() else ""


def _app(said: Mapping[str, Any]) -> App:
    app = App(text(said.get("$app_namespace")), text(said.get("$app_name")), text(said.get("$app_version")))
    return NO_APP if app == NO_APP else app


def _page(url: str, said: Mapping[str, Any], original: str) -> Page:
    title = text(said.get("$title")) or text(said.get("$screen_name"))
    referrer = text(said.get("$referrer"))
    return Page(
        url=url,
        path=text(said.get("$pathname")) or path_of(url),
        title=title or (text(said.get("title")) if original == _PAGE_VIEW else ""),
        referrer="" if referrer == "$direct" else referrer,
    )


def _campaign(url: str, said: Mapping[str, Any]) -> Campaign:
    """That of the page, else that with which the visit began. A browser repeats its last utm_* on all later visits,
    so where it tells how the visit began, they say nothing."""
    if not (entry := text(said.get("$session_entry_url"))):
        return campaign_of(campaign_in(said), url)
    found = campaign_of(NO_CAMPAIGN, url)
    return campaign_of(NO_CAMPAIGN, entry) if found is NO_CAMPAIGN else found


def _own_properties(said: dict[str, Any], kind: EventType) -> dict[str, Any]:
    if kind is EventType.GROUP:
        traits = _object(said.pop("$group_set", None))
        return {**said, "group_id": text(said.get("$group_key")), "traits": traits}
    return said
