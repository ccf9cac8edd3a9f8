"""GrowingIO: version 3 of its protocol, from sites, mini-programs, apps and servers.

An answer is 204 without a body: the browser SDK takes anything else, 200 included, for a failure, and sends the
event again, in the end as an image. So a body that cannot be read is answered 204 too: it is kept and counted, and
to send it again would not make it readable. The project id in the path is the key; the one in a
record says the same and is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cdp.errors import MalformedHit, Rejected, TooLarge
from cdp.model import Dropped, Event, Hit
from collectors.body import one_or_many, split_target
from collectors.dialect import Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.growingio_body import image_body, plain_body, sent_at
from collectors.growingio_event import Delivery
from collectors.growingio_proto import EVENT, ITEM, USER_MAPPING, Message, json_of, records_of_list
from collectors.record import outcomes, unreadable

_PATH = re.compile(r"/v3/projects/([^/]+)/collect/?|(?:/v3)?/projects/([^/]+)/collect/(item|user-mapping)/?")
_TAKEN = Answer(204, b"", "")


class _Call(NamedTuple):
    """What a path asks for: how its records are listed in protobuf, and who tells the event of one."""

    message: Message
    tell: Callable[[Delivery, int, bytes], Event]


_EVENTS = _Call(EVENT, Delivery.event)
_CALLS = {"item": _Call(ITEM, Delivery.item), "user-mapping": _Call(USER_MAPPING, Delivery.user_mapping)}


class GrowingIO:
    """The dialect of GrowingIO's SDKs."""

    name = "growingio"
    keeps_unknown_keys = False

    def handles(self, method: str, path: str) -> bool:
        asked = _PATH.fullmatch(path)
        return asked is not None and (method == "POST" or (method == "GET" and not asked[3]))

    def config(self, request: Request) -> Answer | None:
        return None

    def read(self, request: Request) -> Envelope:
        key, call = _asked(request.path)
        try:
            records = _Records(request.method, request.query, request.headers, request.body, call)
        except MalformedHit as error:
            raise Unreadable(key, error.detail) from error
        return Envelope(key, len(records.found))

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        return _TAKEN

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return _TAKEN if isinstance(error, Unreadable) else None

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        key, call = _asked(path)
        try:
            records = _Records(hit.method, query, hit.headers, hit.body, call)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        source = source_of_key(key)
        delivery = Delivery(hit, hit_id, sent_at=sent_at(query), appid=source.appid if source else "")

        def event_of(index: int, record: bytes) -> Event:
            return call.tell(delivery, index, records.json_of(record))

        return outcomes(hit, hit_id, records.found, event_of)


def _asked(path: str) -> tuple[str, _Call]:
    """The key, and what is sent. Raises MalformedHit for a path that we do not handle."""
    asked = _PATH.fullmatch(path)
    if asked is None:
        raise MalformedHit("a path such as /v3/projects/KEY/collect", "another")
    return asked[1] or asked[2], _CALLS.get(asked[3], _EVENTS)


class _Records:
    """The records of a request, in JSON or protobuf. Raises MalformedHit and TooLarge."""

    def __init__(self, method: str, query: str, headers: Mapping[str, str], body: bytes, call: _Call) -> None:
        self._message = call.message
        self._is_protobuf = False
        if method == "GET":
            self.found = one_or_many(image_body(query))
            return
        body = plain_body(body, query, headers)
        self._is_protobuf = _is_protobuf(body, headers)
        self.found = records_of_list(body, call.message) if self._is_protobuf else one_or_many(body)

    def json_of(self, record: bytes) -> bytes:
        """Raises NotAnEventError."""
        return json_of(record, self._message) if self._is_protobuf else record


def _is_protobuf(body: bytes, headers: Mapping[str, str]) -> bool:
    """By the header: a list in protobuf may begin like JSON with an empty line before it. By the bytes without one."""
    if "protobuf" in headers.get("content-type", ""):
        return True
    return body[:1] in (b"\n", b"\x12") and body.lstrip()[:1] not in (b"[", b"{")
