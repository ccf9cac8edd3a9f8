"""Leads that ad platforms push: one or several rows in a request that proves to come from the platform.

A platform's file says how it proves itself and what its fields mean; here is what they have in common. The lead's
own id is the event's, so a second delivery is a repeat. A row that nobody can be reached by is dropped, and the
others of its request go on.
"""

from __future__ import annotations

import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit, Rejected, TooLarge, TooManyRequests
from cdp.model import NO_PAGE, Campaign, Dropped, Event, EventType, Hit, Identifier, Millis, Page, Source
from collectors.body import Decoder, one_or_many, unpacked
from collectors.clock import occurred_at, parse_time
from collectors.dialect import Answer, Envelope, Request, SourceOfKey
from collectors.enquiry import LEAD_SUBMITTED, Fields, properties_of, sort_fields
from collectors.ids import content_id, event_id
from collectors.record import NOTHING, NotAnEventError, outcomes, plain_value, text, unreadable

CHINA = timezone(timedelta(hours=8))
"""Both platforms write times without a zone, and mean this one."""
MAX_AGE_MS: Millis = 3_600_000
"""How far from ours a platform's time may be. It may try again for a while with what it signed first; and a copy made
later would be a repeat, which counts nothing."""
LEAD_AD = "lead_ad"
"""The medium of their campaigns."""


class Unproven(Rejected):
    status = 401
    title = "No valid signature"

    def __init__(self) -> None:
        super().__init__(
            "The request does not prove that it comes from the platform, or is over an hour old. "
            "Give the platform and the source the same secret; see docs/ads.md."
        )


class AdLead(msgspec.Struct, frozen=True, kw_only=True):
    """One row in words of ours. `id` is the platform's, '' where it gave none; `about` tells of the advertisement."""

    id: str
    at: Millis | None
    fields: Fields
    campaign: Campaign
    identifiers: tuple[Identifier, ...] = ()
    page: Page = NO_PAGE
    about: dict[str, Any] = {}


MAX_PUSH_BYTES = 1024 * 1024
"""Unpacked. Platforms push some kilobytes; and a push is read before anybody knows whether it is the platform's."""


class _Push(msgspec.Struct, rename={"rows": "list"}):
    """The names under which several rows may come in one object."""

    data: Raw = NOTHING
    rows: Raw = NOTHING
    leads: Raw = NOTHING
    leads_info_list: Raw = NOTHING
    clues: Raw = NOTHING


_PUSH: Decoder[_Push] = Decoder(_Push, _Push)


class AdsEnvelope(Envelope, frozen=True, kw_only=True):
    """Its rows besides, for whoever looks at the signature."""

    rows: list[Raw]


class AdPlatform(ABC):
    """The dialect of one platform at `/ads/{path}/{key}`."""

    name: str
    path: str
    keeps_unknown_keys = False

    @abstractmethod
    def proven(self, request: Request, rows: Sequence[Raw], secret: str, now: Millis) -> bool:
        """Whether the platform sent this, and lately."""

    @abstractmethod
    def lead(self, row: dict[str, Any]) -> AdLead:
        """What a row says."""

    @abstractmethod
    def answer(self, status: int, message: str) -> Answer:
        """In the shape that the platform reads; `status` 200 is done, and `message` then ''."""

    def campaign(self, about: Mapping[str, Any], clicks: dict[str, str]) -> Campaign:
        """That of a lead, by what is told of its advertisement."""
        name = about.get("campaign_name") or about.get("ad_name", "")
        return Campaign(
            source=self.name, medium=LEAD_AD, name=name, content=about.get("creative_id", ""), click_ids=clicks
        )

    def own_id(self, lead_id: str) -> tuple[Identifier, ...]:
        """The platform's id of a lead, as an identifier; none where it gave none."""
        return (Identifier("lead_id", f"{self.name}/{lead_id}"),) if lead_id else ()

    def handles(self, method: str, path: str) -> bool:
        return method == "POST" and self._key(path) != ""

    def config(self, request: Request) -> Answer | None:
        return None

    def read(self, request: Request) -> Envelope:
        key = self._key(request.path)
        # A body without rows proves nothing, so nobody is known to whom it could be counted.
        rows = rows_of(request.body)
        # What proves the request may stand in its query, and is nobody's to read later.
        return AdsEnvelope(key, len(rows), target=request.target.partition("?")[0], rows=rows)

    def checked(self, request: Request, envelope: Envelope, source: Source, now: Millis) -> Envelope:
        if not (source.secret and self.proven(request, cast(AdsEnvelope, envelope).rows, source.secret, now)):
            raise Unproven
        return envelope

    def accepted(self, request: Request, envelope: Envelope) -> Answer:
        return self.answer(200, "")

    def refused(self, request: Request, error: Rejected) -> Answer | None:
        told = self.answer(error.status, error.detail)
        if isinstance(error, TooManyRequests):
            return replace(told, headers={"Retry-After": str(error.retry_after_s)})
        return told

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        try:
            rows = rows_of(hit.body)
        except (MalformedHit, TooLarge) as error:
            raise unreadable(error) from error
        return outcomes(hit, hit_id, rows, lambda index, row: self._event(hit, f"{hit_id}/{index}", hit_id, row))

    def _key(self, path: str) -> str:
        found = re.fullmatch(rf"/ads/{self.path}/([^/]+)/?", path)
        return found[1] if found else ""

    def _event(self, hit: Hit, moment: str, hit_id: str, row: bytes) -> Event:
        told = self.lead(row_of(row))
        if not told.fields.reachable:
            raise NotAnEventError("the lead has neither phone nor e-mail nor WeChat")
        client_id = told.id or content_id(row, without=(), moment="" if told.at is not None else moment)
        return Event(
            id=event_id(hit.source, client_id),
            client_id=client_id,
            type=EventType.TRACK,
            name=LEAD_SUBMITTED,
            original_name=LEAD_SUBMITTED,
            occurred_at=occurred_at(hit.received_at, said=told.at),
            received_at=hit.received_at,
            source=hit.source,
            dialect=hit.dialect,
            hit=hit_id,
            identifiers=told.identifiers,
            page=told.page,
            campaign=told.campaign,
            properties=properties_of(told.fields, **told.about),
        )


def rows_of(body: bytes) -> list[Raw]:
    """The rows of a request: one object, an array of them, or an object that holds the array.

    Raises MalformedHit and TooLarge.
    """
    body = unpacked(body).strip()
    if len(body) > MAX_PUSH_BYTES:
        raise TooLarge("The push", limit=MAX_PUSH_BYTES, unit="bytes")
    if body[:1] == b"[":
        return one_or_many(body)
    told, body = _PUSH.decode(body)
    batch = next((each for each in msgspec.structs.astuple(told) if bytes(each).lstrip()[:1] == b"["), None)
    return [Raw(body)] if batch is None else one_or_many(bytes(batch))


def row_of(row: bytes) -> dict[str, Any]:
    """Raises NotAnEventError where a row is no object that can be kept."""
    found = plain_value(row)
    if not isinstance(found, dict):
        raise NotAnEventError("a lead is a JSON object")
    return found


def take(row: dict[str, Any], *names: str) -> str:
    """Take a field out of a row: the first of these that says anything. A lone 0 stands for nothing, in ids too."""
    for name in names:
        value = text(row.get(name))
        if value and value != "0":
            del row[name]
            return value
    return ""


def take_answers(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The answers of a form, an object or its JSON text; {} where there are none, and then the field stays."""
    told = row.get(name)
    try:
        found = msgspec.json.decode(told) if isinstance(told, str) else told
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    del row[name]
    return found


def time_of(value: str) -> Millis | None:
    """Unix time, or a date and time of China."""
    if value.isdecimal():
        return parse_time(value)
    try:
        return round(datetime.fromisoformat(value).replace(tzinfo=CHINA).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def lately(told: str, now: Millis) -> bool:
    """Whether a Unix time is about now."""
    at = parse_time(told)
    return at is not None and abs(now - at) <= MAX_AGE_MS


def same(told: str, expected: str) -> bool:
    """Compare secrets in a time that tells nothing of them."""
    return hmac.compare_digest(told.encode(), expected.encode())


def fields_of(told: dict[str, str], answers: Mapping[str, Any]) -> Fields:
    """What the platform knows of the person, and what was answered to its form's questions; an answer to a question of
    the same name stands beside what the platform knows."""
    own = given(**told)
    return sort_fields(
        own | {f"answer_{name}" if name in own else name: each for name, each in answers.items() if each}
    )


def given(**values: Any) -> dict[str, Any]:
    """Only what says anything."""
    return {name: value for name, value in values.items() if value}


def header(headers: Mapping[str, str], *names: str) -> str:
    return next((headers[name].strip() for name in names if name in headers), "")
