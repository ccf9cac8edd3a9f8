"""ThinkingData 数数: JSON of servers, apps and mini-programs, base64 in forms and images of sites.

Clients wrap their records as `{data: […], #app_id}`, servers send the bare array and name the app in a header. A
client that is answered with anything but 200 sends the same again, so what cannot be read is said in the code of a
200, as the vendor's own server does: -1, and the client lets go of it. An unknown key is 401: the data waits on the
device until somebody makes the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge
from cdp.model import Dropped, Event, Hit
from collectors.body import (
    Decoder,
    form_bytes,
    from_base64,
    one_or_many,
    query_value,
    split_target,
    unescaped,
    unpacked,
)
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.gif import gif
from collectors.record import NOTHING, Keys, first_key, is_given, outcomes, text, unreadable
from collectors.thinkingdata_record import Delivery

_PLATFORMS = {
    "/sync_server": "server",
    "/sync_json": "server",
    "/sync_data": "server",
    "/sync_js": "web",
    "/sync_xcx": "mini_program",
    "/sync": "",
    "/data_debug": "",
}
"""Paths, and who sends there; a record that names its library knows better."""
_DEBUG = "/data_debug"
_CONFIG = "/config"

MAX_PARTS = 16
"""Of a multipart form that are looked at; beacons send five at most."""

_BOUNDARY = b"--"
_ESCAPED = (b"%7B", b"%7b", b"%5B", b"%5b", b"{", b"[")
_BARE_BASE64 = (b"H4sI", b"eyI", b"W3si")
"""How gzip, an object and an array begin."""

_TAKEN = Answer(200, b'{"code":0}')
_REFUSED = Answer(200, b'{"code":-1,"msg":"invalid data"}')
_REFUSED_DEBUG = Answer(
    200, b'{"code":-1,"errorLevel":2,"errorProperties":[],"errorReasons":["expected JSON of the SDK, whole"]}'
)
_CHECKED = Answer(200, b'{"code":0,"errorLevel":0,"errorProperties":[],"errorReasons":[]}')
_SETTINGS = Answer(200, b'{"code":0,"data":{"sync_interval":15,"sync_batch_size":20,"disable_event_list":[]}}')
"""Seconds and records: what the clients do unless told otherwise. They ask at each start."""


class _Body(msgspec.Struct):
    app_id: Any = msgspec.field(default=None, name="#app_id")
    appid: Any = None
    flush_time: Any = msgspec.field(default=None, name="#flush_time")
    data: Raw = NOTHING


class _Keyed(msgspec.Struct):
    app_id: Any = msgspec.field(default=None, name="#app_id")


_BODY: Decoder[Any] = Decoder(_Body, _Body)
_KEYED = msgspec.json.Decoder(_Keyed)


class ThinkingData:
    """The dialect of ThinkingData's SDKs."""

    name = "thinkingdata"
    keeps_unknown_keys = False

    def handles(self, method: str, path: str) -> bool:
        return path in _PLATFORMS and method in ("GET", "POST")

    def config(self, request: Request) -> Answer | None:
        return _SETTINGS if request.path == _CONFIG and query_value(request.query, "appid") else None

    def read(self, request: Request) -> Envelope:
        key = request.headers.get("appid", "").strip() or query_value(request.query, "appid")
        try:
            body = _read(request.query, request.body)
        except MalformedHit as error:
            raise Unreadable(key, error.detail) from error
        except TooLarge as error:
            # Answered 200, or the device sends it for ever: so the accounting must tell of it.
            raise Unreadable(key, error.detail, instead=error.detail.encode()) from error
        key = key or body.first_key()
        return Envelope(key, 0 if _only_tried(request.path, request.query, request.body) else len(body.records))

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        if request.path == _DEBUG:
            return _CHECKED
        return gif() if request.method == "GET" else _TAKEN

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        if not isinstance(error, Unreadable):
            return None
        return _REFUSED_DEBUG if request.path == _DEBUG else _REFUSED

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        try:
            body = _read(query, hit.body)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        if _only_tried(path, query, hit.body):
            return []
        keys = Keys(hit, source_of_key, deciding={query_value(query, "appid")}, first=body.first_key)
        platform = _PLATFORMS.get(path, "")
        delivery = Delivery(hit, hit_id, keys, records=body.records, platform=platform, sent_at=body.sent_at)
        return outcomes(hit, hit_id, body.records, delivery.event)


def _only_tried(path: str, query: str, body: bytes) -> bool:
    """Debug mode without import: the SDK wants to know whether the data could be read, and no event."""
    return path == _DEBUG and (form_bytes(body, b"dryRun") == b"1" or query_value(query, "dryRun") == "1")


class _Records(msgspec.Struct):
    """What a request carries, once it is read."""

    records: list[Raw]
    key: str = ""
    sent_at: Any = None

    def first_key(self) -> str:
        """The key beside the records, else the first that a record has, else ''."""
        return self.key or first_key(self.records, _KEYED, lambda told: text(told.app_id))


def _read(query: str, body: bytes) -> _Records:
    """Raises MalformedHit and TooLarge."""
    body = unpacked(body)
    key = ""
    if body.lstrip()[:1] not in (b"{", b"["):
        key = (form_bytes(body, b"appid") or b"").decode(errors="replace")
        body = _of_form(body) or _of_form(query.encode()) or _bare(body)
    if body.lstrip()[:1] == b"[":
        return _Records(one_or_many(body), key)
    found, body = _BODY.decode(body)
    key = text(found.app_id) or text(found.appid) or key
    if not is_given(found.data):
        return _Records([Raw(body)], key)
    return _Records(_listed(bytes(found.data)), key, found.flush_time)


def _listed(data: bytes) -> list[Raw]:
    """The records of `data`: an array, one object, or, from clients in C++, either as a text."""
    if data[:1] == b'"':
        data = msgspec.json.decode(data, type=str).encode()
    return one_or_many(data)


def _of_form(form: bytes) -> bytes:
    """`data` of a form, a query, or a multipart form as beacons send it; b'' where there is none."""
    value = (_of_parts(form) if form.startswith(_BOUNDARY) else form_bytes(form, b"data")) or b""
    if not value.startswith(_ESCAPED):
        return from_base64(value) if value else b""
    return unescaped(value) if value[:1] == b"%" else value


def _of_parts(form: bytes) -> bytes:
    """`data` of a multipart form; b'' where no whole part has it."""
    boundary = form.partition(b"\r\n")[0]
    # Nothing is in front of the first boundary, and what follows the last one is no part, or one that was cut.
    for part in form.split(boundary, MAX_PARTS + 1)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        if b'name="data"' in head:
            return value.removesuffix(b"\r\n")
    return b""


def _bare(body: bytes) -> bytes:
    """Apps send base64 and nothing around it. Raises MalformedHit."""
    if not body.startswith(_BARE_BASE64):
        raise MalformedHit("JSON, base64, or `data` in a form or the query", "none of them")
    return from_base64(body)
