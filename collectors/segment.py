"""Segment, RudderStack and Jitsu, and our own tracker and clients: one protocol.

Calls are track, page, screen, identify, group and alias, each alone or in a batch, over JSON, a beacon or a pixel.
RudderStack differs in where it puts traits (`context.traits`) and time (`originalTimestamp`), and in its pixel; Jitsu
in its paths, and in a key of two parts, in a header of its own. Answers are Segment's, for Jitsu its server's;
RudderStack's clients read the status alone. With `?results=1`, which our own clients ask for, the answer says of
each call what became of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge
from cdp.model import Dropped, Event, Hit
from collectors.body import (
    Decoder,
    FewRecords,
    check_repeated,
    key_in_pieces,
    key_pattern,
    one_or_many,
    query_value,
    records_of,
    split_target,
    unpacked,
)
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.gif import gif
from collectors.record import NOTHING, Keys, first_key, outcomes, text, unreadable
from collectors.results import Results
from collectors.segment_call import Delivery
from collectors.segment_results import results_of

_CALLS = ("track", "identify", "page", "screen", "group", "alias", "merge", "batch", "import")
_LETTERS = {"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch"}

_JITSU = "/api/s/"
_POSTS = {
    **{f"/v1/{call}": call for call in _CALLS},
    **{f"/v1/{letter}": call for letter, call in _LETTERS.items()},
    **{f"{_JITSU}{server}{call}": call for call in _CALLS for server in ("", "s2s/")},
    "/beacon/v1/batch": "batch",
}
_SHORT_POSTS = {f"/{letter}": call for letter, call in _LETTERS.items()}
"""For an apiHost without /v1, to the letter: /s/ is PostHog's, as the long names without /v1 are."""
_PIXELS = {"/pixel/v1/track": "track", "/pixel/v1/page": "page"}
LONGEST_AUTHORIZATION = 512
"""A key has 128 characters at most."""
MAX_PIXEL_FIELDS = 200
MAX_PIXEL_DEPTH = 8
_METRICS = frozenset({"/v1/m", "/m", "/rsaMetrics"})
_SETTINGS = re.compile(r"/v1/projects/([^/]+)/settings")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")
_LOOPBACK = ("localhost", "127.", "[::1]")

_SUCCESS = Answer(200, b'{"success":true}')
_OK = Answer(200, b'{"ok":true}')


class _Body(msgspec.Struct, rename="camel"):
    """A request: one record, or a batch of them with what they share."""

    write_key: Any = None
    sent_at: Any = None
    context: Raw = NOTHING
    batch: list[Raw] | None = None


class _LargeBody(msgspec.Struct, rename="camel"):
    write_key: Any = None
    sent_at: Any = None
    context: Raw = NOTHING
    batch: FewRecords | None = None  # type: ignore[valid-type]


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: Any = None


_BODY: Decoder[Any] = Decoder(_Body, _LargeBody)
_KEYED = msgspec.json.Decoder(_Keyed)
_KEY_PATTERN = key_pattern("writeKey")


class Segment:
    """The dialect of Segment's, RudderStack's and Jitsu's SDKs, and of our own tracker and clients."""

    name = "segment"
    keeps_unknown_keys = False

    def handles(self, method: str, path: str) -> bool:
        return bool(_posted(path)) if method == "POST" else method == "GET" and path in _PIXELS

    def config(self, request: Request) -> Answer | None:
        path = request.path.rstrip("/")
        if request.method == "POST":
            return _SUCCESS if path in _METRICS else None
        if path == "/health":
            return Answer(200, b'{"server":"UP"}')
        if path == "/sourceConfig":
            return _source_config(_named_key(request.headers, request.query))
        project = _SETTINGS.fullmatch(path)
        return _settings(project[1], request.headers) if project else None

    def read(self, request: Request) -> Envelope:
        key = _named_key(request.headers, request.query)
        # Jitsu's key is an id and its secret; which of the two a team gave to its source is known to the team.
        other = key.partition(":")[0] if ":" in key and "x-write-key" in request.headers else ""
        try:
            body = _pixel_body(request.query) if request.path in _PIXELS else _read_body(request.body)
        except MalformedHit as error:
            raise Unreadable(key or key_in_pieces(request.body, _KEY_PATTERN), error.detail, other_key=other) from error
        return Envelope(key or body.first_key(), len(body.records), other, _results(request, key, body))

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        if envelope.results is not None:
            told = {"success": True, "results": envelope.results.by_id()}
            return Answer(200, msgspec.json.encode(told))
        if request.path in _PIXELS:
            return gif()
        return _OK if request.path.startswith(_JITSU) else _SUCCESS

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return gif(error.status) if request.path in _PIXELS else None

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        try:
            body = _pixel_body(query) if path in _PIXELS else _read_body(hit.body)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        call = _PIXELS.get(path) or _posted(path) or "batch"
        keys = Keys(hit, source_of_key, deciding={_named_key(hit.headers, query)}, first=body.first_key)
        delivery = Delivery(hit, hit_id, keys, call=call, sent_at=body.sent_at, context=body.context)
        return outcomes(hit, hit_id, body.records, delivery.event)


def _posted(path: str) -> str:
    """What is called by a POST to this path, '' where it is none of ours."""
    return _SHORT_POSTS.get(path) or _POSTS.get(path.rstrip("/"), "")


def _results(request: Request, key: str, body: _Records) -> Results | None:
    """Of each record, where the sender asks for it."""
    if "results=1" not in request.query or query_value(request.query, "results") != "1":
        return None
    return Results(results_of(body.records, _posted(request.path)), accepted=(key, body.first_key()))


def _named_key(headers: Any, query: str) -> str:
    if key := headers.get("x-write-key"):
        return str(key)
    authorization = headers.get("authorization")
    if authorization and len(authorization) <= LONGEST_AUTHORIZATION:
        return _basic_key(authorization) or query_value(query, "writeKey")
    return query_value(query, "writeKey")


@lru_cache(maxsize=4096)
def _basic_key(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials).decode().partition(":")[0].strip()
    except (binascii.Error, ValueError):
        return ""


def _settings(key: str, headers: Any) -> Answer:
    """What analytics.js asks for before it sends. Its metrics are switched off, or it calls Segment after 30 s."""
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        return Answer(400, b'{"code":"no_host","message":"Send a Host header, from which the answer is made."}')
    integration = {"apiKey": key, "apiHost": f"{host}/v1"}
    # The SDK sends over https unless told otherwise, and whether it may is known only to the proxy in front.
    if headers.get("x-forwarded-proto") == "http" or host.startswith(_LOOPBACK):
        integration["protocol"] = "http"
    return Answer(200, msgspec.json.encode({"integrations": {"Segment.io": integration}, "metrics": {"sampleRate": 0}}))


def _source_config(key: str) -> Answer:
    """What RudderStack's browser SDK asks for; without the statistics that it would send besides."""
    off = {"enabled": False}
    source = {
        "id": key,
        "name": key,
        "writeKey": key,
        "enabled": True,
        "config": {"statsCollection": {"errors": off, "metrics": off}},
        "destinations": [],
    }
    return Answer(200, msgspec.json.encode({"source": source}))


class _Records(msgspec.Struct):
    """What a request carries, once it is read."""

    records: list[Raw]
    key: str = ""
    sent_at: Any = None
    context: Raw = NOTHING

    def first_key(self) -> str:
        """The key of the batch, else the first that a record of it has, else ''."""
        return self.key or first_key(self.records, _KEYED, lambda told: text(told.write_key))


def _read_body(body: bytes) -> _Records:
    """Raises MalformedHit and TooLarge."""
    body = unpacked(body)
    if body.lstrip()[:1] == b"[":
        return _Records(one_or_many(body))
    found, body = _BODY.decode(body)
    key = found.write_key if isinstance(found.write_key, str) else ""
    if found.batch is None:
        return _Records([Raw(body)], key.strip())
    records = records_of(found.batch)
    check_repeated(len(found.context), len(records))
    return _Records(records, key.strip(), found.sent_at, found.context)


def _pixel_body(query: str) -> _Records:
    """A call spelled as `context.page.url=…&properties.k=…`; the key is not part of it. Raises MalformedHit."""
    try:
        fields = parse_qsl(query, max_num_fields=MAX_PIXEL_FIELDS)
    except ValueError:
        raise MalformedHit(f"up to {MAX_PIXEL_FIELDS} fields in a query", "more") from None
    call: dict[str, Any] = {}
    for name, value in fields:
        if name != "writeKey":
            _put(call, name.split(".", maxsplit=MAX_PIXEL_DEPTH), value)
    return _Records([Raw(msgspec.json.encode(call))])


def _put(call: dict[str, Any], path: list[str], value: str) -> None:
    into: Any = call
    for name in path[:-1]:
        into = into.setdefault(name, {})
        if not isinstance(into, dict):
            return
    into.setdefault(path[-1], value)
