"""From one row of a file to one record of the dialect `file`, or to the reason why it is none.

Nothing is guessed: a cell that cannot be what its column is makes the row refused, with the column's name, and whoever
has the file can mend it and import it again, for the rows that were taken are taken once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

import msgspec

from cdp.model import Millis
from collectors.cells import DigitsLostError, identifier_text, moment_of, value_of
from collectors.clock import EARLIEST, THRESHOLD_MS
from collectors.columns import (
    CONTACTS,
    EVENT_NAME,
    EXTERNAL_ID,
    FIELDS,
    IGNORE,
    OCCURRED_AT,
    ImportMap,
    RowKind,
    holds_nothing,
    identifiers_in,
)
from collectors.ids import hashed
from collectors.record import KIND_ORDER
from collectors.tabular import Cell, shown

KINDS = frozenset(KIND_ORDER)

_TOTALS = re.compile(r"(?:合计|总计|小计|共计|汇总|(?:grand\s+|sub)?totals?|sum)\s*[:：]?.{0,20}", re.IGNORECASE)


class Record(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One row, read. `id` is the event's client id; `key` names the record of which a row of people is one version, ''
    for none; `at` is None where the row does not say when, or a time that cannot be: then `timeless`. `identifiers` are
    (kind, value) as they came, those of a lead's contact aside, which stand in `properties`."""

    row: int
    id: str
    key: str = ""
    at: Millis | None = None
    name: str = ""
    identifiers: list[tuple[str, str]] = []
    traits: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    campaign: dict[str, str] = {}
    timeless: bool = False


class Reason(msgspec.Struct, frozen=True):
    """Why a row was not taken, in both languages; `column` is '' where it is of the row as a whole."""

    code: str
    zh: str
    en: str
    column: str = ""


class RefusedRow(NamedTuple):
    row: int
    reason: Reason


class RowReader:
    """Reads the rows of one file, which came at a time, by its map. Pure: the same row gives the same record."""

    def __init__(self, told: ImportMap, names: Sequence[str], *, region: str, zone: tzinfo, came: Millis) -> None:
        self._kind = told.kind
        self._event = told.event
        self._region = region
        self._zone = zone
        self._latest = came + THRESHOLD_MS
        self._columns = [
            (index, name, told.columns[name])
            for index, name in enumerate(names)
            if told.columns.get(name, IGNORE) != IGNORE
        ]

    def read(self, row: int, cells: Sequence[Cell]) -> Record | RefusedRow:
        said: list[tuple[str, Any]] = []
        at: Millis | None = None
        for index, column, meaning in self._columns:
            cell = cells[index] if index < len(cells) else ""
            if holds_nothing(cell, meaning):
                continue
            try:
                values = self._values(cell, meaning)
            except DigitsLostError:
                return self._refused(row, cells, _digits_lost(column))
            if not values:
                return self._refused(row, cells, _not_of_kind(column, meaning))
            if meaning == OCCURRED_AT:
                at = values[0]
            said += ((meaning, value) for value in values)
        record = self._record(row, said, at)
        missing = _missing(self._kind, said, record)
        return self._refused(row, cells, missing) if missing else record

    def _values(self, cell: Cell, meaning: str) -> list[Any]:
        """None at all where the cell cannot be what it means. Raises DigitsLostError."""
        if meaning in KINDS:
            return identifiers_in(meaning, cell, region=self._region)
        if meaning == EXTERNAL_ID:
            return [identifier_text(cell)]
        if meaning == OCCURRED_AT:
            at = moment_of(cell, self._zone)
            return [] if at is None else [at]
        return [value_of(cell) if meaning.startswith(("trait.", "property.")) else shown(cell)]

    def _record(self, row: int, said: Sequence[tuple[str, Any]], at: Millis | None) -> Record:
        leads = self._kind is RowKind.LEADS
        timeless = at is not None and not EARLIEST <= at <= self._latest
        record = Record(
            row=row,
            id="",
            at=None if timeless else at,
            name=self._event,
            identifiers=[],
            traits={},
            properties={},
            campaign={},
            timeless=timeless,
        )
        fields = record.traits if self._kind is RowKind.PEOPLE else record.properties
        for meaning, value in said:
            prefix, _, name = meaning.partition(".")
            if leads and meaning in CONTACTS and meaning not in record.properties:
                record.properties[meaning] = value
            elif meaning in KINDS:
                record.identifiers.append((meaning, value))
            elif meaning in FIELDS:
                fields[meaning] = value
            elif meaning == EVENT_NAME:
                record.name = value
            elif prefix == "campaign":
                record.campaign[name] = value
            elif prefix == "trait":
                record.traits[name] = value
            elif prefix == "property":
                record.properties[name] = value
        record.id = self._id(said)
        if self._kind is RowKind.PEOPLE:
            record.key = _key_in(said) or next((value for kind, value in record.identifiers if kind == "crm_id"), "")
        return record

    def _id(self, said: Sequence[tuple[str, Any]]) -> str:
        """The record's key alone for a lead, which is one however it is corrected; else the key with what it says,
        which is another when that changes."""
        key = _key_in(said)
        if key and self._kind is RowKind.LEADS:
            return f"{self._kind}:{hashed(key)}"
        content = msgspec.json.encode(sorted(said, key=lambda each: (each[0], str(each[1]))), order="sorted").decode()
        return f"{self._kind}:{hashed(self._event, content)}"

    def _refused(self, row: int, cells: Sequence[Cell], reason: Reason) -> RefusedRow:
        first = next((text for cell in cells if (text := shown(cell))), "")
        return RefusedRow(row, TOTALS_LINE if _TOTALS.fullmatch(first) else reason)


def _key_in(said: Sequence[tuple[str, Any]]) -> str:
    return next((str(value) for meaning, value in said if meaning == EXTERNAL_ID), "")


TOTALS_LINE = Reason("totals_line", "这是合计行，不是记录。", "This line holds totals and is no record.")
_NO_CONTACT = Reason(
    "no_contact", "没有电话、邮箱或微信，无法联系。", "Without a phone, email or wechat nobody can be reached."
)
_NOBODY = Reason("no_identifier", "没有任何能识别人的值。", "Nothing in it identifies anybody.")
_NO_NAME = Reason("no_event_name", "没有事件名。", "It names no event.")
_NOTHING = Reason("empty", "映射的列全部为空。", "All columns of the map are empty in it.")

_WHAT = {
    "phone": ("电话号码", "a phone number"),
    "email": ("邮箱地址", "an e-mail address"),
    "vin": ("17 位车架号", "a VIN of 17 signs"),
    "id_card": ("身份证号", "an ID card number"),
    "plate": ("车牌号", "a number plate"),
    OCCURRED_AT: ("时间（如 2026-03-05 14:02）", "a time such as 2026-03-05 14:02"),
}


def _digits_lost(column: str) -> Reason:
    return Reason(
        "digits_lost",
        f"“{column}”被表格软件存成了数值（如 1.38E+10），位数已丢失。请把该列设为文本后重新导出。",
        f"{column!r} was stored as a number (like 1.38E+10) and lost digits. Make the column text and export it again.",
        column,
    )


def _not_of_kind(column: str, meaning: str) -> Reason:
    zh, en = _WHAT.get(meaning, (meaning, f"a {meaning}"))
    return Reason("not_of_kind", f"“{column}”的值不是{zh}。", f"The value of {column!r} cannot be {en}.", column)


def _missing(kind: RowKind, said: Sequence[tuple[str, Any]], record: Record) -> Reason | None:
    if not said:
        return _NOTHING
    if kind is RowKind.LEADS and CONTACTS.isdisjoint(record.properties):
        return _NO_CONTACT
    if kind is RowKind.PEOPLE and not record.identifiers:
        return _NOBODY
    if kind is RowKind.EVENTS and not record.name:
        return _NO_NAME
    return None


def reason_of(code: str, sentence: str) -> Reason:
    """A reason of the pipeline's, such as ERASED."""
    return Reason(code, _OF_PIPELINE.get(code, sentence), sentence)


_OF_PIPELINE: Mapping[str, str] = {
    "ERASED": "此人的数据已被删除，早于删除的记录不再接收。",
    "EVENT_TOO_LARGE": "这一行超过 1 MB。",
    "MALFORMED_EVENT": "这一行不是可读的记录。",
    "INTERNAL": "系统处理这一行时出错，错误已记录。",
    "LEAD_NOT_CAPTURED": "行为已保存，但线索未能生成，错误已记录。",
    "UNREADABLE": "这一批行无法读取，错误已记录。",
}
