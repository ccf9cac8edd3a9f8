"""PostHog: its browser, mobile and server SDKs, old protocol and new.

The old one sends one event, an array or a batch to any of six paths, as JSON, in a form or in the address, packed in
whatever way; the new one has one path, its key in a header, and an answer for each event. What a browser asks first
is answered so that it collects everything but recordings of sessions: these show what people type and see, nobody
here reads them, and so they are taken and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge
from cdp.model import Dropped, Event, Hit
from collectors.body import (
    Decoder,
    FewRecords,
    form_bytes,
    from_base64,
    key_in_pieces,
    key_pattern,
    one_or_many,
    query_value,
    records_of,
    split_target,
    unescaped,
    unpacked,
)
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.lz_string import decompress_base64
from collectors.posthog_event import Delivery
from collectors.posthog_identity import IDENTIFY
from collectors.posthog_results import results_of
from collectors.record import Keys, first_key, outcomes, text, unreadable
from collectors.results import Results


def _both(*paths: str) -> frozenset[str]:
    """Each path without and with a slash at its end."""
    return frozenset(paths) | {f"{path}/" for path in paths}


_HITS = _both("/e", "/i/v0/e", "/capture", "/track", "/engage", "/batch")
_NAMELESS = _both("/engage")
"""Its records are property updates, and may come without a name."""
_NEW = _both("/i/v1/analytics/events")
_RECORDINGS = "/s/"
"""Without the slash it is Segment's."""
_FLAGS = _both("/flags", "/decide")
_CONFIG = re.compile(r"/array/([^/]+)/config(\.js)?/?")
_SCRIPTS = "/static/"
LONGEST_TOKEN = 128

_TAKEN = Answer(200, b'{"status":1}')
_NO_SCRIPT = Answer(
    404, b'{"code":"not_found","message":"Scripts of the SDK are not served here. Bundle it with the page."}'
)
_SETTINGS = {
    # Without these two nothing is captured by itself, and each request has a preflight.
    "autocapture_opt_out": False,
    "supportedCompression": ["gzip", "gzip-js"],
    "elementsChainAsString": True,
    "heatmaps": True,
    "hasFeatureFlags": False,
    "sessionRecording": False,
    "surveys": False,
    "captureDeadClicks": False,
    "siteApps": [],
}
_NO_FLAGS = {"flags": {}, "featureFlags": {}, "featureFlagPayloads": {}, "errorsWhileComputingFlags": False}
_LZ = frozenset({"lz64", "lz-string"})
_ESCAPED_JSON = (b"%7B", b"%5B")


class _Body(msgspec.Struct):
    """A request: one event, or a batch of them with what they share."""

    api_key: Any = None
    token: Any = None
    sent_at: Any = None
    historical_migration: Any = None
    batch: list[Raw] | None = None


class _LargeBody(msgspec.Struct):
    api_key: Any = None
    token: Any = None
    sent_at: Any = None
    historical_migration: Any = None
    batch: FewRecords | None = None  # type: ignore[valid-type]


class _KeyedProperties(msgspec.Struct):
    token: Any = None


class _Keyed(msgspec.Struct, rename={"old_token": "$token"}):
    api_key: Any = None
    token: Any = None
    old_token: Any = None
    properties: _KeyedProperties | None = None


_BODY: Decoder[Any] = Decoder(_Body, _LargeBody)
_KEYED = msgspec.json.Decoder(_Keyed)
_KEY_PATTERN = key_pattern("api_key", "token")


class PostHog:
    """The dialect of the PostHog SDKs."""

    name = "posthog"
    keeps_unknown_keys = False

    def handles(self, method: str, path: str) -> bool:
        return (path in _HITS and method in ("GET", "POST")) or (path in _NEW and method == "POST")

    def config(self, request: Request) -> Answer | None:
        path = request.path
        if request.method == "POST" and path == _RECORDINGS:
            return _TAKEN
        if path in _FLAGS:
            return _flags(request)
        if request.method != "GET":
            return None
        if path.startswith(_SCRIPTS):
            return _NO_SCRIPT
        asked = _CONFIG.fullmatch(path)
        return _settings(asked[1], script=asked[2] is not None) if asked else None

    def read(self, request: Request) -> Envelope:
        new = request.path in _NEW
        key = _bearer(request.headers) if new else _key_in(request.query)
        try:
            body = _read(request.headers, request.query, request.body)
        except MalformedHit as error:
            raise Unreadable(key or key_in_pieces(request.body, _KEY_PATTERN), error.detail) from error
        if new:
            return Envelope(key, len(body.records), results=Results(results_of(body.records), accepted=(key,)))
        return Envelope(key or body.first_key(), len(body.records))

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        if envelope.results is None:
            return _TAKEN
        return Answer(200, msgspec.json.encode({"results": _with_details(envelope.results.by_id())}))

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return None

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        try:
            body = _read(hit.headers, query, hit.body)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        new = path in _NEW
        named = "" if new else _key_in(query)
        delivery = Delivery(
            hit,
            hit_id,
            Keys(hit, source_of_key, deciding=(named,), first=(lambda: "") if new else body.first_key),
            key=body.key or named,
            keyed=new or bool(body.key or named),
            nameless=IDENTIFY if path in _NAMELESS else "",
            sent_at=hit.headers.get("posthog-request-timestamp") if new else body.sent_at or _sent_in(query),
            historical=body.historical,
        )
        return outcomes(hit, hit_id, body.records, delivery.event)


def _with_details(results: Mapping[str, Any]) -> dict[str, Any]:
    """The reason of a drop also where PostHog's clients look for it."""
    return {
        uuid: {**result, "details": result["detail"]} if "detail" in result else result
        for uuid, result in results.items()
    }


def _key_in(query: str) -> str:
    return query_value(query, "api_key") or query_value(query, "token")


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _sent_in(query: str) -> int | None:
    """Old browsers say in the address when they send: ms, told from the seconds of still older ones by their size."""
    value = query_value(query, "_")
    return int(value) if value.isdecimal() and len(value) == len("1795317374450") else None


def _settings(token: str, *, script: bool) -> Answer | None:
    """What posthog-js asks for before it collects by itself."""
    if len(token) > LONGEST_TOKEN or not token.isprintable():
        return None
    if not script:
        return Answer(200, msgspec.json.encode(_SETTINGS))
    name = msgspec.json.encode(token).replace(b"<", rb"\u003c")
    told = msgspec.json.encode({"config": {**_SETTINGS, "token": token}, "siteApps": []}).replace(b"<", rb"\u003c")
    text = b"(window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{})[%b]=%b;" % (name, told)
    return Answer(200, text, "application/javascript")


def _flags(request: Request) -> Answer:
    """No flag is known here. Old browsers, and new ones on demand, learn with them what else to collect."""
    settings = request.path.startswith("/decide") or query_value(request.query, "config") == "true"
    return Answer(200, msgspec.json.encode({**_SETTINGS, **_NO_FLAGS} if settings else _NO_FLAGS))


class _Records(msgspec.Struct):
    """What a request carries, once it is read; `key` is the batch's."""

    records: list[Raw]
    key: str = ""
    sent_at: Any = None
    historical: bool = False

    def first_key(self) -> str:
        """The key of the batch, else the first that a record of it has, else ''."""
        return self.key or first_key(self.records, _KEYED, _key_of)


def _key_of(told: _Keyed) -> str:
    inner = told.properties.token if told.properties else None
    return text(told.api_key) or text(told.token) or text(told.old_token) or text(inner)


def _read(headers: Mapping[str, str], query: str, body: bytes) -> _Records:
    """Raises MalformedHit and TooLarge."""
    told = _json_in(query, unpacked(body, encoding=headers.get("content-encoding", "")))
    if told.lstrip()[:1] == b"[":
        return _Records(one_or_many(told))
    found, told = _BODY.decode(told)
    key = text(found.api_key) or text(found.token)
    if found.batch is None:
        return _Records([Raw(told)], key, found.sent_at)
    return _Records(records_of(found.batch), key, found.sent_at, found.historical_migration is True)


def _json_in(query: str, body: bytes) -> bytes:
    """The JSON text of a body, or of `data` in it or in the query, whatever it is packed in there."""
    if body.lstrip()[:1] in (b"{", b"["):
        return body
    form = body or query.encode()
    value = form_bytes(form, b"data")
    if value is None:
        value = body
    if not value:
        raise MalformedHit("JSON, or `data` in a form or in the query", "neither")
    packing = query_value(query, "compression") or (form_bytes(form, b"compression") or b"").decode("latin-1")
    if packing.lower() in _LZ:
        return decompress_base64(unescaped(value).replace(b" ", b"+")).encode(errors="replace")
    return unescaped(value) if value[:3].upper() in _ESCAPED_JSON or value[:1] in (b"{", b"[") else from_base64(value)
