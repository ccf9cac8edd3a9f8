"""Google Analytics 4: the browser's hits to /g/collect, and servers' to /mp/collect (Measurement Protocol).

The key is the measurement id of a site or the Firebase id of an app. Both are public, and `api_secret` is not looked
at: a source for them is of a public kind. Like Google's, every answer to a readable address is 204 without a body;
whether a body is well made is told at /debug/mp/collect, which takes no event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge
from cdp.model import Dropped, Event, Hit
from collectors.body import Decoder, FewRecords, check_repeated, query_value, records_of, split_target, unpacked
from collectors.dialect import MAX_EVENTS, Answer, Envelope, Request, SourceOfKey, Unreadable
from collectors.ga4_browser import MAX_EVENT_FIELDS, BrowserDelivery, fields_of
from collectors.ga4_measurement import MeasurementDelivery
from collectors.record import NOTHING, outcomes, text, unreadable

BROWSER, MEASUREMENT, DEBUG = "/g/collect", "/mp/collect", "/debug/mp/collect"
_KEY_NAMES = {BROWSER: ("tid",), MEASUREMENT: ("measurement_id", "firebase_app_id")}
_METHODS = {BROWSER: ("POST", "GET"), MEASUREMENT: ("POST",)}
_TAKEN = Answer(204)


class _Measured(msgspec.Struct):
    """The body of a Measurement Protocol request: what its events share, and the events."""

    client_id: Any = None
    app_instance_id: Any = None
    user_id: Any = None
    timestamp_micros: Any = None
    user_properties: Raw = NOTHING
    consent: Raw = NOTHING
    non_personalized_ads: Raw = NOTHING
    user_location: Raw = NOTHING
    device: Raw = NOTHING
    ip_override: Any = None
    user_agent: Any = None
    events: list[Raw] | None = None


class _LargeMeasured(_Measured):
    events: FewRecords | None = None  # type: ignore[valid-type]


class _Named(msgspec.Struct):
    name: Any = None


_MEASURED: Decoder[Any] = Decoder(_Measured, _LargeMeasured)
_NAMED = msgspec.json.Decoder(_Named)


class Ga4:
    """The dialect of Google Analytics 4."""

    name = "ga4"
    keeps_unknown_keys = False

    def handles(self, method: str, path: str) -> bool:
        return method in _METHODS.get(path, ())

    def config(self, request: Request) -> Answer | None:
        if request.path != DEBUG or request.method != "POST":
            return None
        return Answer(200, msgspec.json.encode({"validationMessages": list(_complaints(request))}))

    def read(self, request: Request) -> Envelope:
        key = _key(request.path, request.query)
        try:
            if request.path == MEASUREMENT:
                return Envelope(key, len(_measured(request.body)[1]))
            return Envelope(key, len(_lines(request.query, request.body)))
        except MalformedHit as error:
            raise Unreadable(key, error.detail) from error

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        return _TAKEN

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        return _TAKEN if isinstance(error, Unreadable) else None

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        path, query = split_target(hit.target)
        try:
            if path == MEASUREMENT:
                shared, records = _measured(hit.body)
                app_id = query_value(query, "firebase_app_id")
                return outcomes(hit, hit_id, records, MeasurementDelivery(hit, hit_id, shared, app_id=app_id).event)
            records = _lines(query, hit.body)
            return outcomes(hit, hit_id, records, BrowserDelivery(hit, hit_id, fields_of(query)).event)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error


def _key(path: str, query: str) -> str:
    keys = (query_value(query, name).strip() for name in _KEY_NAMES[path])
    return next((key for key in keys if key), "")


def _measured(body: bytes) -> tuple[Any, list[Raw]]:
    """What the events share, and the events. Raises MalformedHit and TooLarge."""
    shared, _ = _MEASURED.decode(unpacked(body))
    if shared.events is None:
        raise MalformedHit("`events`, an array", "none")
    records = records_of(shared.events)
    fields = msgspec.structs.astuple(shared)
    check_repeated(sum(len(field) for field in fields if isinstance(field, (str, Raw))), len(records))
    return shared, records


def _lines(query: str, body: bytes) -> list[Raw]:
    """One event a line; the query alone is one event where there is no line. Raises MalformedHit and TooLarge."""
    if query.count("&") >= MAX_EVENT_FIELDS:
        raise MalformedHit(f"up to {MAX_EVENT_FIELDS} fields in a query", "more")
    body = unpacked(body)
    if body.count(b"\n") > MAX_EVENTS:
        raise TooLarge("The number of events in the request", limit=MAX_EVENTS, unit="events")
    lines = (line.strip() for line in body.split(b"\n"))
    records = records_of([Raw(line) for line in lines if line] or [Raw(b"")])
    check_repeated(len(query), len(records))
    return records


def _complaints(request: Request) -> Iterator[dict[str, str]]:
    """What is wrong with a request of the Measurement Protocol, as Google spells it; none where nothing is."""
    if not _key(MEASUREMENT, request.query):
        yield _complaint("measurement_id", "VALUE_REQUIRED", "Give measurement_id or firebase_app_id in the query.")
    try:
        shared, events = _measured(request.body)
    except (MalformedHit, TooLarge) as error:
        yield _complaint("", "VALUE_INVALID", error.detail)
        return
    if not any(text(known) for known in (shared.client_id, shared.app_instance_id, shared.user_id)):
        yield _complaint("client_id", "VALUE_REQUIRED", "Give client_id, app_instance_id or user_id.")
    if not events:
        yield _complaint("events", "VALUE_REQUIRED", "Give at least one event.")
    for index, event in enumerate(events):
        try:
            named = text(_NAMED.decode(event).name)
        except (msgspec.ValidationError, RecursionError):
            named = ""
        if not named:
            yield _complaint(f"events[{index}].name", "VALUE_REQUIRED", "Give each event a name.")


def _complaint(path: str, code: str, description: str) -> dict[str, str]:
    return {"fieldPath": path, "description": description, "validationCode": code}
