"""One row to one record: what spreadsheets do to numbers and times, and what is refused rather than guessed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cdp.moments import rfc3339
from collectors.cells import DigitsLostError, identifier_text, moment_of, value_of
from collectors.columns import ImportMap, RowKind
from collectors.file_row import Record, RefusedRow, RowReader

SHANGHAI = ZoneInfo("Asia/Shanghai")
CAME = 1_780_000_000_000


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (13812345678.0, "13812345678"),
        ("13812345678.0", "13812345678"),
        ("１３８１２３４５６７８", "13812345678"),
        ("'13812345678", "13812345678"),
        ("1.3812345678E+10", "13812345678"),
        ("1.38123456780e10", "13812345678"),
        ("007", "007"),
    ],
)
def test_an_identifier_is_read_where_all_its_digits_are_there(cell: Any, text: str) -> None:
    assert identifier_text(cell) == text


@pytest.mark.parametrize("cell", ["1.38123E+10", "1.38E+10", "4.40305199001011E+17", 4.403051990010113e17, "1E+300"])
def test_an_identifier_that_lost_digits_is_never_guessed(cell: Any) -> None:
    with pytest.raises(DigitsLostError):
        identifier_text(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "2026/3/5 14:02", "2026-03-05 14:02:00", "2026年3月5日 14:02", "2026年3月5日 14时02分", "2026.3.5 14:02",
        "2026-03-05T06:02:00Z", "2026-03-05T14:02:00.000+08:00", "２０２６/3/5 14:02", "2026/3/5 下午2:02",
        "20260305140200", "46086.584722222222", 46086.584722222222,
        "1772690520", "1772690520000",
    ],
)  # fmt: skip
def test_a_time_is_the_same_however_it_is_written(cell: Any) -> None:
    at = moment_of(cell, SHANGHAI)
    assert at is not None
    assert rfc3339(at) == "2026-03-05T06:02:00.000Z"


@pytest.mark.parametrize("cell", ["2026/3/5", "2026年3月5日", "20260305", "46086"])
def test_a_day_begins_by_the_clocks_of_the_deployment(cell: Any) -> None:
    assert moment_of(cell, SHANGHAI) == moment_of("2026-03-05 00:00", SHANGHAI)


@pytest.mark.parametrize("cell", ["5/3/2026", "2026/13/5", "昨天", "12", "13812345678", float("inf"), float("nan")])
def test_what_could_be_two_days_or_none_is_no_time(cell: Any) -> None:
    assert moment_of(cell, SHANGHAI) is None


@pytest.mark.parametrize("cell", ["1e300000", "2026" + " " * 20_000 + "-1-1", "9" * 20_000 + ".0", "Infinity", 1e300])
def test_a_cell_made_to_stop_everything_is_read_at_once(cell: Any) -> None:
    # Without its limits each of these takes minutes, or an exception ends the import.
    assert moment_of(cell, SHANGHAI) is None
    value_of(cell)
    with suppress(DigitsLostError):
        identifier_text(cell)


def test_a_value_is_the_same_from_a_workbook_and_from_a_text() -> None:
    pairs = [("12.50", 12.5), ("5", 5.0), ("2026/3/5", "2026-03-05"), ("true", True)]
    assert (
        [value_of(text) for text, _ in pairs] == [value_of(cell) for _, cell in pairs] == [12.5, 5, "2026-03-05", True]
    )
    assert [value_of(text) for text in ("007", "1.2.3", "12345678901234567", "-")] == [
        "007", "1.2.3", "12345678901234567", "-",
    ]  # fmt: skip


def reader(kind: RowKind, *meanings: str, event: str = "") -> RowReader:
    names = [f"c{n}" for n in range(len(meanings))]
    told = ImportMap(kind=kind, columns=dict(zip(names, meanings, strict=True)), event=event)
    return RowReader(told, names, region="CN", zone=SHANGHAI, came=CAME)


def refusal(found: Record | RefusedRow) -> tuple[str, str]:
    assert isinstance(found, RefusedRow)
    assert found.reason.zh
    assert found.reason.en
    return found.reason.code, found.reason.column


def test_a_row_that_cannot_be_what_its_columns_are_is_refused_with_the_column() -> None:
    read = reader(RowKind.LEADS, "name", "phone", "vin", "occurred_at").read
    assert refusal(read(5, ["王", "1.38123E+10"])) == ("digits_lost", "c1")
    assert refusal(read(5, ["王", "138"])) == ("not_of_kind", "c1")
    assert refusal(read(5, ["王", "13812345678", "LSV"])) == ("not_of_kind", "c2")
    assert refusal(read(5, ["王", "13812345678", "", "5/3/2026"])) == ("not_of_kind", "c3")
    assert refusal(read(5, ["王", ""])) == ("no_contact", "")
    assert refusal(read(5, ["合计", "128"])) == ("totals_line", "")


def record(found: Record | RefusedRow) -> Record:
    assert isinstance(found, Record)
    return found


@pytest.mark.parametrize("nothing", ["#N/A", "#ref!", "N/A", "null", "无", "-", "／", "没有", "0", "00000000000", 0])
def test_how_people_and_programs_write_none_is_an_empty_cell_where_somebody_is_named(nothing: Any) -> None:
    read = reader(RowKind.LEADS, "external_id", "name", "phone", "email").read
    found = record(read(2, [nothing, "王", nothing, "a@example.com"]))
    assert found.properties == {"name": "王", "email": "a@example.com"}
    assert found.id != record(read(3, [nothing, "李", nothing, "b@example.com"])).id
    people = reader(RowKind.PEOPLE, "member_id", "crm_id", "phone").read
    kept = record(people(2, [nothing, nothing, "13812345678"]))
    assert (kept.key, kept.identifiers) == ("", [("phone", "13812345678")])
    assert refusal(people(3, [nothing, nothing, nothing])) == ("empty", "")


def test_none_is_a_value_in_a_column_with_a_name_of_its_own_and_a_failed_formula_nowhere() -> None:
    found = record(reader(RowKind.PEOPLE, "phone", "trait.加装", "trait.等级").read(2, ["13812345678", "无", "#N/A"]))
    assert found.traits == {"加装": "无"}


def test_of_two_values_in_one_cell_none_is_lost() -> None:
    people = reader(RowKind.PEOPLE, "phone", "email").read
    for sign in ("/", "；", "、", "\n", " 或 "):
        found = record(people(2, [f"13812345660{sign}13812345661", "a@example.com;b@example.com"]))
        assert [value[-1] for kind, value in found.identifiers if kind == "phone"] == ["0", "1"]
        assert len(found.identifiers) == 4
    assert refusal(people(2, ["13812345660；1381234566", ""])) == ("not_of_kind", "c0")
    assert record(people(2, ["02162345678,801", ""])).identifiers == [("phone", "02162345678,801")]
    lead = record(reader(RowKind.LEADS, "phone").read(2, ["13812345660/13812345661"]))
    assert (lead.properties, lead.identifiers) == ({"phone": "13812345660"}, [("phone", "13812345661")])


def test_a_time_that_cannot_be_is_none_and_told() -> None:
    read = reader(RowKind.LEADS, "phone", "occurred_at").read
    for day in ("1970-01-01", "2099-01-01"):
        found = record(read(2, ["13812345678", day]))
        assert (found.at, found.timeless) == (None, True)
    assert not record(read(2, ["13812345678", "2026-03-01"])).timeless


def test_no_reason_repeats_a_value() -> None:
    found = reader(RowKind.LEADS, "name", "phone").read(5, ["王小明", "1381234567"])
    assert "1381234567" not in repr(found)


def test_rows_of_each_kind_say_what_they_need() -> None:
    assert refusal(reader(RowKind.PEOPLE, "trait.name", "phone").read(2, ["王", ""])) == ("no_identifier", "")
    assert refusal(reader(RowKind.EVENTS, "event_name", "phone").read(2, ["", "13812345678"])) == ("no_event_name", "")
    told = reader(RowKind.EVENTS, "phone", "property.price", event="order_paid").read(2, ["13812345678", "199.90"])
    assert isinstance(told, Record)
    assert (told.name, told.identifiers, told.properties) == (
        "order_paid",
        [("phone", "13812345678")],
        {"price": 199.9},
    )


def test_a_lead_is_known_by_its_key_and_everything_else_by_what_it_says() -> None:
    def ids(kind: RowKind, *rows: list[str]) -> list[str]:
        read = reader(
            kind, "external_id", "phone", "property.note" if kind is not RowKind.PEOPLE else "trait.note", event="e"
        )
        found = [read.read(n, row) for n, row in enumerate(rows)]
        return [each.id for each in found if isinstance(each, Record)]

    corrected = (["1", "13812345678", "a"], ["1", "13812345678", "b"])
    first, second = ids(RowKind.LEADS, *corrected)
    assert first == second
    first, second = ids(RowKind.PEOPLE, *corrected)
    assert first != second
    same = ids(RowKind.EVENTS, ["", "13812345678", "a"], ["", "13812345678", "a"])
    assert same[0] == same[1]
