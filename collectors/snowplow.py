"""Snowplow's tracker protocol: a JSON payload of events by POST, or one event as the query of an image.

The key is the `aid` of each event, so a body that cannot be read names none. A tracker may post to any address of
two segments (`postPath`); therefore this dialect is asked last, and what comes to such an address and is no Snowplow
payload is answered as on a path that nobody takes: most likely the address of another SDK is spelled wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge, UnknownSource
from cdp.model import Dropped, Event, Hit
from collectors.body import Decoder, FewRecords, key_in_pieces, key_pattern, records_of, split_target, unpacked
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.gif import gif
from collectors.http_answer import problem
from collectors.record import Keys, first_key, outcomes, text, unreadable
from collectors.snowplow_event import Delivery

MAX_PIXEL_FIELDS = 200
"""The protocol has 131."""

_PAYLOADS = "/com.snowplowanalytics.snowplow/tp2"
_PIXELS = frozenset({"/i", "/ice.png"})
_CHOSEN_ADDRESS = re.compile(r"/(?!v\d+/)[^/]+/[^/]+")
"""What begins with a version, as /v1/m, is Segment's: some of it is no hit, and would be taken for one here."""
_SCHEMA_MARK = "/payload_data/"
_KEY_PATTERN = key_pattern("aid")
_TAKEN = Answer(200, b"ok", "text/plain")


class _Payload(msgspec.Struct):
    schema: Any = None
    data: list[Raw] | None = None


class _LargePayload(msgspec.Struct):
    schema: Any = None
    data: FewRecords | None = None  # type: ignore[valid-type]


class _Keyed(msgspec.Struct):
    aid: Any = None


_PAYLOAD: Decoder[Any] = Decoder(_Payload, _LargePayload)
_KEYED = msgspec.json.Decoder(_Keyed)


class Snowplow:
    """The dialect of Snowplow's trackers."""

    name = "snowplow"
    keeps_unknown_keys = False

    def handles(self, method: str, path: str) -> bool:
        return _CHOSEN_ADDRESS.fullmatch(path) is not None if method == "POST" else method == "GET" and path in _PIXELS

    def config(self, request: Request) -> Answer | None:
        # That a post would be taken there is no news for whoever asks for a page that is not here.
        other = request.path != _PAYLOADS and _CHOSEN_ADDRESS.fullmatch(request.path)
        return (
            _nothing_here("Nothing is served here. Compare the address.") if request.method == "GET" and other else None
        )

    def read(self, request: Request) -> Envelope:
        try:
            records = _records(request.method, request.path, request.query, request.body)
        except MalformedHit as error:
            raise Unreadable(_key_in_pieces(request), error.detail) from error
        return Envelope(_first_key(records), len(records))

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        return gif() if request.method == "GET" else _TAKEN

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        if request.method == "GET":
            return gif(error.status)
        complaint = _complaint(request) if isinstance(error, UnknownSource) else None
        if complaint is None:
            return None
        if request.path == _PAYLOADS:
            return problem(complaint.status, "unreadable", complaint.title, complaint.detail)
        return _nothing_here("Only payloads of Snowplow trackers are taken here. Compare the SDK's server address.")

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        try:
            records = _records(hit.method, path, query, hit.body)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        keys = Keys(hit, source_of_key, deciding=(), first=partial(_first_key, records))
        return outcomes(hit, hit_id, records, Delivery(hit, hit_id, keys).event)


def _nothing_here(detail: str) -> Answer:
    return problem(404, "not_found", "Not found", detail)


def _complaint(request: Request) -> Rejected | None:
    """Why a request without a known key is no payload; None where it is one."""
    try:
        _records(request.method, request.path, request.query, request.body)
    except (MalformedHit, TooLarge) as error:
        return error
    return None


def _key_in_pieces(request: Request) -> str:
    if request.path != _PAYLOADS and _SCHEMA_MARK.encode() not in request.body:
        return ""
    return key_in_pieces(request.body, _KEY_PATTERN)


def _first_key(records: Sequence[Raw]) -> str:
    return first_key(records, _KEYED, lambda told: text(told.aid))


def _records(method: str, path: str, query: str, body: bytes) -> list[Raw]:
    """The events of a request. Raises MalformedHit and TooLarge."""
    if method == "GET":
        return [_pixel(query)]
    payload, _ = _PAYLOAD.decode(unpacked(body))
    if payload.data is None:
        raise MalformedHit("a payload with `data`, an array of events", "none")
    if path != _PAYLOADS and not (isinstance(payload.schema, str) and _SCHEMA_MARK in payload.schema):
        raise MalformedHit("the schema `payload_data` at an address that a team chose", "another or none")
    return records_of(payload.data)


def _pixel(query: str) -> Raw:
    """The event that a query spells. Raises MalformedHit."""
    try:
        fields = parse_qsl(query, max_num_fields=MAX_PIXEL_FIELDS)
    except ValueError:
        raise MalformedHit(f"up to {MAX_PIXEL_FIELDS} fields in a query", "more") from None
    return Raw(msgspec.json.encode(dict(fields)))
