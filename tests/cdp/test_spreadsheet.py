"""Files for spreadsheets: whole and readable, whatever is in the cells, and nothing in them is run."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterator

import openpyxl
import python_calamine
from hypothesis import given
from hypothesis import strategies as st

from cdp.spreadsheet import PART_BYTES, csv_parts, xlsx_parts

HEADER = ("person", "phone")
RUN = ["=1+1", "+86138****8000", "-1", "@SUM(A1)", "\tx", "\rx", "＝1+1"]

rows = st.lists(st.tuples(st.text(), st.text()), max_size=12)


def sheets_of(data: bytes) -> list[list[list[object]]]:
    book = python_calamine.load_workbook(io.BytesIO(data))
    return [book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names]


def test_a_csv_has_a_mark_for_spreadsheets_and_what_they_would_run_is_quoted() -> None:
    data = b"".join(csv_parts(("a",), [[each] for each in (*RUN, "李女士", "a,b")]))
    assert data.startswith(b"\xef\xbb\xbfa\r\n")
    found = [line[0] for line in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))]
    assert found == ["a", *(f"'{each}" for each in RUN), "李女士", "a,b"]


def test_no_cell_of_a_workbook_is_a_formula() -> None:
    book = openpyxl.load_workbook(io.BytesIO(b"".join(xlsx_parts(("a",), [[each] for each in RUN]))))
    cells = [cell for row in book["1"].iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.value for cell in cells][:4] == RUN[:4]


@given(rows)
def test_whatever_is_in_the_cells_a_workbook_can_be_read_again(given_rows: list[tuple[str, str]]) -> None:
    [sheet] = sheets_of(b"".join(xlsx_parts(HEADER, given_rows)))
    assert sheet[0] == [*HEADER]
    plain = [row for row in given_rows if "".join(row).isalnum()]
    assert [row for row in sheet[1:] if "".join(map(str, row)).isalnum()] == [list(row) for row in plain]


@given(rows, st.integers(2, 5))
def test_rows_that_one_sheet_cannot_hold_go_on_in_another(given_rows: list[tuple[str, str]], most: int) -> None:
    numbered = [(str(index), "x") for index, _ in enumerate(given_rows)]
    sheets = sheets_of(b"".join(xlsx_parts(HEADER, numbered, sheet_rows=most)))
    assert {tuple(sheet[0]) for sheet in sheets} == {HEADER}
    assert all(1 < len(sheet) <= most for sheet in sheets if numbered)
    assert [tuple(row) for sheet in sheets for row in sheet[1:]] == numbered


def test_a_large_file_goes_out_in_parts_and_is_never_whole_in_memory() -> None:
    def many() -> Iterator[tuple[str, ...]]:
        return ((f"{n * 0x9E3779B97F4A7C15:036}", "+86138****8000", f"l****{n}@example.com") for n in range(40_000))

    for write in (csv_parts, xlsx_parts):
        tracemalloc.start()
        sizes = [len(part) for part in write(("a", "b", "c"), many())]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(sizes) > 5
        assert max(sizes) < 2 * PART_BYTES
        assert peak < 2_000_000
