"""The members of a segment as a file for spreadsheets, in parts while they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from api.keys import ApiKey
from api.segment_people import known_by
from api.services import Services
from cdp.audit import note_done
from cdp.model import Identifier
from cdp.moments import now_ms, rfc3339
from cdp.spreadsheet import csv_parts, xlsx_parts
from leads.lead import CONTACT_FIELDS
from segments.book import Segment
from segments.members import Member
from segments.tree import Entity

PAGE = 5_000
"""Members read at once."""
MOST_OF_A_KIND = 20
"""Identifiers of one kind in a cell; of more it is said how many."""

COLUMNS = {
    Entity.PERSON: ("member_id", "phone", "email", "wx_unionid", "wx_openid", "device_id", "crm_id"),
    Entity.LEAD: CONTACT_FIELDS,
}
"""What members are known by, in the order of the columns behind the id and `since`."""


class Format(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"


MEDIA = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def exported(use: Services, caller: ApiKey, segment: Segment, written: Format, *, clear: bool) -> Iterator[bytes]:
    """The file. With `clear` that is noted before the first byte, and each value before it leaves."""
    if clear:
        note_done(use.system.records, "export_segment", actor=caller.name, subject=segment.id, at=now_ms())
    entity = segment.definition.entity
    header = (entity.value, "since", *COLUMNS[entity])
    rows = _rows(use, caller, segment, clear=clear)
    return csv_parts(header, rows) if written is Format.CSV else xlsx_parts(header, rows)


def _rows(use: Services, caller: ApiKey, segment: Segment, *, clear: bool) -> Iterator[Sequence[str]]:
    entity = segment.definition.entity
    for page in _pages(use, segment):
        known, shown = known_by(use, entity, [each.unit for each in page], reveal=clear)
        if clear:
            use.auditor.note_shown(caller, sorted(shown.known), subject=segment.id)
        for each in page:
            identifiers = known.get(each.unit, ())
            yield each.unit, rfc3339(each.since), *(_cell(identifiers, kind) for kind in COLUMNS[entity])


def _pages(use: Services, segment: Segment) -> Iterator[Sequence[Member]]:
    page, after = use.segments.membership.members(segment.n, limit=PAGE)
    yield page
    while after is not None:
        page, after = use.segments.membership.members(segment.n, after=after, limit=PAGE)
        yield page


def _cell(identifiers: Sequence[Identifier], kind: str) -> str:
    values = [each.value for each in identifiers if each.kind == kind]
    more = len(values) - MOST_OF_A_KIND
    return "; ".join([*values[:MOST_OF_A_KIND], *([f"+{more}"] if more > 0 else [])])
