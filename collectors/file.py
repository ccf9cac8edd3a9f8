"""The dialect `file`: rows of an imported file, some hundreds a hit, read already.

No request has it: the importer writes these hits into the log itself (`cdp.imports`). From there on a row is an event
like all others, counted, stored once, redacted and replayed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from cdp.errors import MalformedHit
from cdp.model import NO_CAMPAIGN, Campaign, Dropped, Event, EventType, Fact, Hit, Identifier, Millis, as_json
from collectors.clock import occurred_at
from collectors.columns import RowKind
from collectors.dialect import SourceOfKey
from collectors.event_names import PROFILE_UPDATED
from collectors.file_row import Record
from collectors.ids import event_id
from collectors.record import NotAnEventError, in_order, outcomes, properties_json, set_traits


class Rows(msgspec.Struct, kw_only=True):
    """The body of a hit. `origin` is the id of the import; `at` stands for the time of a row that tells none; `name`
    is that of an event which captures a lead."""

    origin: str
    kind: RowKind
    at: Millis
    name: str
    rows: list[Raw]


_ROWS = msgspec.json.Decoder(Rows)
_RECORD = msgspec.json.Decoder(Record)


class File:
    """The dialect of imported files."""

    name = "file"

    def translate(self, hit: Hit, hit_id: str, source_of_key: SourceOfKey) -> Sequence[Event | Dropped]:
        rows = rows_of(hit)
        return outcomes(hit, hit_id, rows.rows, lambda _, record: _event(hit, hit_id, rows, record))


def rows_of(hit: Hit) -> Rows:
    """Raises MalformedHit."""
    try:
        return _ROWS.decode(hit.body)
    except msgspec.ValidationError as error:
        raise MalformedHit("rows of a file", str(error)) from None


def record_of(raw: bytes) -> Record:
    """Raises NotAnEventError."""
    try:
        return _RECORD.decode(raw)
    except msgspec.ValidationError:
        raise NotAnEventError("a row of another shape") from None


def _event(hit: Hit, hit_id: str, rows: Rows, raw: bytes) -> Event:
    record = record_of(raw)
    people = rows.kind is RowKind.PEOPLE
    name = PROFILE_UPDATED if people else rows.name if rows.kind is RowKind.LEADS else record.name
    return Event(
        id=event_id(hit.source, record.id),
        client_id=record.id,
        type=EventType.PROFILE if people else EventType.TRACK,
        name=name,
        original_name=record.name,
        occurred_at=occurred_at(hit.received_at, said=rows.at if record.at is None else record.at),
        received_at=hit.received_at,
        source=hit.source,
        dialect=hit.dialect,
        hit=hit_id,
        identifiers=in_order(Identifier(kind, value) for kind, value in record.identifiers),
        campaign=msgspec.convert(record.campaign, Campaign) if record.campaign else NO_CAMPAIGN,
        properties=properties_json(Raw(as_json(record.properties).encode())),
        traits=set_traits(record.traits),
        fact=Fact.FORM,
        origin=rows.origin,
    )
