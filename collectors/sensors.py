"""Sensors Analytics 神策: base64 JSON in forms, images and beacons, from sites, mini-programs, apps and servers.

Every answer is 200, refusals included: the web SDK sends a refused batch again for ever, and the mini-program SDK
throws its batch away on anything that is an answer. Only a rate limit is said as 429, which keeps the batch of the
one and loses nothing with the other. The `crc` beside the data is not looked at: JSON that decodes came whole, and
a wrong sum over good data would cost events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge, TooManyRequests
from cdp.model import Dropped, Event, Hit
from collectors.body import form_bytes, from_base64, one_or_many, query_value, split_target, unpacked
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.gif import gif
from collectors.record import Keys, first_key, outcomes, text, unreadable
from collectors.sensors_record import Delivery

DEFAULT_PROJECT = "default"
"""The project of a server address that names none."""

_KEY_NAMES = ("token", "project")
"""Where a key may stand in the query and in a record, the one that counts first."""
_PATHS = frozenset({"/sa", "/sa.gif", "/debug"})
_OPENID = "/mp_login"
"""Where a mini-program with an appid asks for the visitor's openid before it sends: only WeChat and the app's secret
know it. The SDK goes on with an id of its own when none comes."""
_TAKEN = Answer(200, b"", "text/plain")


class _Keyed(msgspec.Struct):
    token: Any = None
    project: Any = None


_KEYED = msgspec.json.Decoder(_Keyed)


class Sensors:
    """The dialect of the Sensors Analytics SDKs."""

    name = "sensors"
    keeps_unknown_keys = True

    def handles(self, method: str, path: str) -> bool:
        return path in _PATHS and method in ("GET", "POST")

    def config(self, request: Request) -> Answer | None:
        return Answer(200, b"{}") if request.path == _OPENID and request.method == "GET" else None

    def read(self, request: Request) -> Envelope:
        key = _named_key(request.query)
        try:
            records = _records(request.query, request.body)
        except MalformedHit as error:
            raise Unreadable(key or DEFAULT_PROJECT, error.detail) from error
        except TooLarge as error:
            # It is answered 200 all the same, so the team learns of it from the accounting or not at all.
            raise Unreadable(key or DEFAULT_PROJECT, error.detail, instead=error.detail.encode()) from error
        key = key or _first_key(records)
        return Envelope(key, 0 if _only_tried(request.path, request.headers) else len(records))

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        return _answer(request)

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return None if isinstance(error, TooManyRequests) else _answer(request)

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        try:
            records = _records(query, hit.body)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        if _only_tried(path, hit.headers):
            return []
        keys = Keys(hit, source_of_key, deciding=_named_keys(query), first=lambda: _first_key(records))
        source = keys.sender()
        delivery = Delivery(hit, hit_id, keys, appid=source.appid if source else "")
        return outcomes(hit, hit_id, records, delivery.event)


def _answer(request: Request) -> Answer:
    return gif() if request.path.endswith(".gif") and request.method == "GET" else _TAKEN


def _named_key(query: str) -> str:
    return next(iter(_named_keys(query)), "")


def _named_keys(query: str) -> list[str]:
    """The keys that the address names. A stock SDK's address says `project=default`, which is no word against the
    token that its records carry."""
    named = (query_value(query, name) for name in _KEY_NAMES)
    return [key for key in named if key and key != DEFAULT_PROJECT]


def _only_tried(path: str, headers: Any) -> bool:
    """Debug mode without import: the SDK wants to know whether the data could be read, and no event."""
    return path == "/debug" and headers.get("dry-run", "").lower() == "true"


def _first_key(records: Sequence[Raw]) -> str:
    return first_key(records, _KEYED, lambda told: text(told.token) or text(told.project)) or DEFAULT_PROJECT


def _records(query: str, body: bytes) -> list[Raw]:
    """The records of a request. Raises MalformedHit and TooLarge."""
    body = unpacked(body)
    found = body if body.lstrip()[:1] in (b"{", b"[") else _of_form(body) or _of_form(query.encode())
    if not found:
        raise MalformedHit("`data` or `data_list` in the body or the query", "neither")
    return one_or_many(found)


def _of_form(form: bytes) -> bytes:
    value = form_bytes(form, b"data", b"data_list")
    return from_base64(value) if value else b""
