"""What became of each row of an import, a line for each: read back from where the pipeline noted it.

A line holds no clear value. Lines lie compressed in a file beside the job, a member for each chunk, so that a chunk
whose lines a crash cut off is written again in its place.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from cdp.accounting import Refusal, refusals_of
from cdp.batch import LEAD_NOT_CAPTURED, Item
from cdp.hot import hot_reading
from cdp.imports_jobs import Job
from cdp.model import PERSONAL_KINDS, Dropped, DropReason, Event, Hit, Identifier, PersonId, Position, SetId, mask
from cdp.personal import Personal
from cdp.records import reading
from cdp.seen import Place, SeenIds, key_of
from cdp.spreadsheet import csv_parts
from collectors.file import File
from collectors.file_row import Reason, Record, RefusedRow, reason_of
from identity.observation import pid
from identity.resolve import State
from identity.verbs import Identity
from leads import store as leads_store
from leads.contact import IDENTIFYING
from leads.lead import LeadId, lead_id_of

IN_FILE = Reason("repeated_in_file", "与本文件中前面的一行相同。", "An earlier row of this file says the same.")
BEFORE = Reason("repeated_before", "以前的导入已收录这一行。", "An earlier import took this row.")
OTHER_CONTACT = Reason(
    "repeated_key",
    "编号与已收录的线索相同，但联系方式不同，未收录。请核对编号列是否真是唯一编号。",
    "A lead with this key is there, with other contacts; this row was not taken. Is the key the record's own?",
)
TIMELESS = Reason(
    "time_impossible",
    "时间早于 2000 年或在未来，已改用上传时间。",
    "Its time is before the year 2000 or in the future, so that of the upload counts.",
)


class JoinedWith(msgspec.Struct, frozen=True):
    """By which identifier a row joined somebody who was there before; `value` is masked."""

    kind: str
    value: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row. `outcome` is taken (somebody new), joined (somebody who was there before the import),
    repeated (taken before, nothing changed) or refused."""

    row: int
    outcome: str
    event: str | None = None
    lead: str | None = None
    person: str | None = None
    joined_with: JoinedWith | None = None
    reason: Reason | None = None


CSV_COLUMNS = (
    "row", "outcome", "event", "lead", "person", "joined_with_kind", "joined_with_value", "column", "code", "zh", "en"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reporter:
    """Asks what became of rows. Not thread-safe, as `personal` is not."""

    records: Engine
    identity: Identity
    personal: Personal

    def lines(
        self, job: Job, hit: Hit, position: Position, records: Sequence[Record]
    ) -> tuple[list[Line], dict[str, SetId]]:
        """One line for each record of a hit that is processed, and the identifier set of each event."""
        found = File().translate(hit, position.hit_id, lambda _: None)
        events = [each for each in found if isinstance(each, Event)]
        with hot_reading(self.records) as reader:
            places = SeenIds().first_places(reader, [key_of(each.id) for each in events])
        with reading(self.records) as connection:
            refusals = refusals_of(connection, position.partition, position.offset, position.offset + 1)
            leads = leads_store.contacts(connection, [_lead_of(each) for each in events])
        items = [self._item(each) for each in events]
        persons = self.identity.persons_of_sets({each.set for each in items if each.set})
        before = self._there_before(job, items)
        # By their place: rows with the same key are the same event.
        of = dict(zip((index for index, each in enumerate(found) if isinstance(each, Event)), items, strict=True))
        lines = []
        for index, (record, outcome) in enumerate(zip(records, found, strict=True)):
            place = Place(position.partition, position.offset, index)
            refusal = refusals.get(place)
            if isinstance(outcome, Dropped) or (refusal and refusal.reason != LEAD_NOT_CAPTURED):
                lines.append(_refused(record.row, outcome, refusal))
                continue
            item = of[index]
            person = persons.get(item.set)
            first = places.get(key_of(outcome.id))
            joined = _joined(item, person, before)
            repeated = first is not None and first != place
            lead = _lead_of(outcome)
            reason: Reason | None
            if repeated and first:
                reason = OTHER_CONTACT if _differs(item, leads.get(lead, {})) else _again(job, first)
            elif refusal:
                reason = reason_of(refusal.reason, "The event is stored; its lead could not be captured.")
            else:
                reason = TIMELESS if record.timeless else None
            lines.append(
                Line(
                    row=record.row,
                    outcome="repeated" if repeated else "joined" if joined else "taken",
                    event=outcome.id,
                    lead=lead if lead in leads else None,
                    person=person,
                    joined_with=None if repeated else joined,
                    reason=reason,
                )
            )
        return lines, {each.event.id: each.set for each in items}

    def _item(self, event: Event) -> Item:
        item = Item(event, Place(0, 0, 0), key_of(event.id))
        self.personal.tokenise(item)
        return item

    def _there_before(self, job: Job, items: Sequence[Item]) -> dict[Identifier, PersonId]:
        """Whose each identifier is that was there before the import."""
        names = {pid(each) for item in items for each in item.event.identifiers}
        old = [
            value
            for value in self.identity.graph.values(sorted(names))
            if value.number <= job.births and value.state is State.LINK and value.person is not None
        ]
        persons = self.identity.graph.pids({value.person for value in old if value.person is not None})
        return {value.identifier: persons[value.person] for value in old if value.person in persons}


def _lead_of(event: Event) -> LeadId:
    return lead_id_of(event.source, f"event:{event.id}")


def _joined(item: Item, person: PersonId | None, before: dict[Identifier, PersonId]) -> JoinedWith | None:
    """By the strongest identifier that was the person's before."""
    for each in item.event.identifiers:
        if person is not None and before.get(each) == person:
            clear = item.clear.get(each.value) if each.kind in PERSONAL_KINDS else each
            return JoinedWith(each.kind, mask(clear.value) if clear is not None else "****")
    return None


def _differs(item: Item, contact: Mapping[str, str]) -> bool:
    """Whether a row of leads says another phone or address than the lead has. A lead that is erased has none."""
    said = {kind: {each.value for each in item.event.identifiers if each.kind == kind} for kind in IDENTIFYING}
    return any(said[kind] and contact.get(kind, "") not in {"", *said[kind]} for kind in IDENTIFYING)


def _refused(row: int, outcome: Event | Dropped, refusal: Refusal | None) -> Line:
    code = refusal.reason if refusal else outcome.reason.value if isinstance(outcome, Dropped) else ""
    sentence = DropReason(code).sentence if code in DropReason.__members__ else "The row could not be taken."
    return Line(row=row, outcome="refused", reason=reason_of(code, sentence))


def _again(job: Job, first: Place) -> Reason:
    mine = any(partition == first.partition and start <= first.offset < end for partition, start, end in job.came)
    return IN_FILE if mine else BEFORE


def refused(rows: Sequence[RefusedRow]) -> list[Line]:
    return [Line(row=each.row, outcome="refused", reason=each.reason) for each in rows]


def append(path: Path, at: int, lines: Sequence[Line]) -> int:
    """Write lines behind the first `at` bytes, in place of what else is there; where they end. Durable on return."""
    member = gzip.compress(msgspec.json.Encoder().encode_lines(lines), compresslevel=1)
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(at)
        file.seek(at)
        file.write(member)
        file.flush()
        os.fsync(file.fileno())
    return at + len(member)


def lines_of(path: Path, until: int) -> Iterator[bytes]:
    """The lines in the first `until` bytes, each a JSON object."""
    if not until:
        return
    with path.open("rb") as file, gzip.open(_Limited(file, until)) as lines:
        yield from lines


class _Limited(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: io.BufferedReader, limit: int) -> None:
        super().__init__()
        self._file, self._left = file, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        part = self._file.read(min(len(view), self._left))
        view[: len(part)] = part
        self._left -= len(part)
        return len(part)


def as_csv(lines: Iterator[bytes]) -> Iterator[bytes]:
    """As a spreadsheet opens it: a header, and a line for each."""
    return csv_parts(CSV_COLUMNS, (_fields(msgspec.json.decode(each, type=Line)) for each in lines))


def _fields(line: Line) -> Sequence[str]:
    joined, reason = line.joined_with, line.reason
    return (
        str(line.row),
        line.outcome,
        line.event or "",
        line.lead or "",
        line.person or "",
        joined.kind if joined else "",
        joined.value if joined else "",
        reason.column if reason else "",
        reason.code if reason else "",
        reason.zh if reason else "",
        reason.en if reason else "",
    )


def as_json(lines: Iterator[bytes]) -> Iterator[bytes]:
    """One JSON document: `{"rows": […]}`."""
    yield b'{"rows":['
    for index, each in enumerate(lines):
        yield (b"," if index else b"") + each.strip()
    yield b"]}"
