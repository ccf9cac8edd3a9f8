"""Files as they are found on people's desks: encodings, delimiters, headers of two lines, rows that are none."""

from __future__ import annotations

import io
from contextlib import closing
from typing import Any

import pytest

from cdp.errors import Refused
from collectors.tabular import Layout, NumberedRow, Table, layout_of, shown
from tests.collectors.sheets import as_csv, as_xlsx

ROWS = [
    ["姓名", "手机", "备注"],
    ["王小明", "13812345678", "后排，空间"],
    ["李娜", "13912345678", 'says "hi"\nand more'],
]


def read(data: bytes, **options: Any) -> list[list[str]]:
    return [[shown(cell) for cell in cells] for _, cells in numbered(data, **options)]


def numbered(data: bytes, **options: Any) -> list[NumberedRow]:
    with closing(Table(io.BytesIO(data), **options)) as table:
        return list(table.rows())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("delimiter", list(",\t;|"))
def test_the_same_rows_come_out_of_every_encoding_and_delimiter(encoding: str, delimiter: str) -> None:
    assert read(as_csv(ROWS, encoding=encoding, delimiter=delimiter)) == ROWS


def test_a_workbook_gives_its_first_sheet_that_holds_anything_with_its_row_numbers() -> None:
    data = as_xlsx([[], *ROWS, [], ["末", "1", ""]], before=["说明"])
    assert [number for number, _ in numbered(data)] == [2, 3, 4, 6]
    assert read(data)[:3] == ROWS
    assert [number for number, _ in numbered(b"a,b\n\n1,2\n")] == [1, 3]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\x80\x80,\xff", "neither UTF-8 nor GB18030"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "Excel 97"),
        (b"PK\x03\x04nonsense", "cannot be read"),
        (b'name,phone\n"never closed,' + b"x" * 200_000, "quote not closed"),
        (b'a,b,c\n1,2,3\n4,5,"5in\n7,8,9\n', "Row 3 begins a cell with a quote that is open at the end"),
        (b'a,b,c\n4,5,"5in\n7,8,9\n1,2,"6in\n7,8,9\n', "Row 2 goes over 3 lines"),
        (b'a,b,c\n4,5,"5in\n7,8,9\n1,2,6"\n', "Row 2 has a cell of 3 lines that look like rows"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence_that_says_what_to_do(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        read(data)


def test_a_small_workbook_that_asks_for_all_memory_is_refused() -> None:
    with pytest.raises(Refused, match="more than 2 GB"):
        read(as_xlsx(ROWS, far="XFD1048576"))


def test_quotes_within_one_line_and_lines_within_quotes_are_read() -> None:
    rows = [["a", "b", "c"], ["1", "5寸屏", "x"], ["2", '5" 屏', "甲，乙\n丙, 丁\n戊"]]
    assert read('a,b,c\n1,"5"寸屏,x\n2,5" 屏,"甲，乙\n丙, 丁\n戊"'.encode()) == rows


def test_another_sheet_is_read_where_it_is_named() -> None:
    data = as_xlsx(ROWS, before=["说明"])
    assert read(data, sheet="Sheet") == ROWS
    with pytest.raises(Refused, match="there are: 说明, Sheet"):
        read(data, sheet="no such")


def laid_out(rows: list[list[Any]]) -> Layout:
    return layout_of(numbered(as_csv(rows)))


def test_a_title_above_the_header_is_passed_over() -> None:
    assert laid_out([["2026 年 3 月线索", "", ""], *ROWS]) == Layout(("姓名", "手机", "备注"), 2)


def test_two_header_lines_with_merged_cells_become_one() -> None:
    rows = [["姓名", "联系方式", None, "状态"], [None, "手机", "邮箱", None], ["王", 13812345678, "w@x.cn", "新"]]
    data = as_xlsx(rows, merged=["B1:C1", "A1:A2", "D1:D2"])
    assert layout_of(numbered(data)) == Layout(("姓名", "联系方式 手机", "联系方式 邮箱", "状态"), 2)


def test_two_header_lines_of_which_the_upper_is_merged_sideways_alone_become_one() -> None:
    rows = [
        ["2026 年 3 月", None, None, None, None],
        ["客户", None, "联系方式", None, "其他"],
        ["姓名", "性别", "手机", "微信", "备注"],
        ["王", "男", 13812345678, "w1", "x"],
        ["李", "女", 13812345679, "w2", "y"],
    ]
    data = as_xlsx(rows, merged=["A1:E1", "A2:B2", "C2:D2"])
    names = ("客户 姓名", "客户 性别", "联系方式 手机", "联系方式 微信", "其他 备注")
    assert layout_of(numbered(data)) == Layout(names, 3)
    unnamed = [["姓名", "城市", ""], ["王", "北京", "好"], ["李", "上海", "中"]]
    assert laid_out(unnamed).header == 1


def test_a_row_with_gaps_below_the_header_is_no_second_header() -> None:
    assert laid_out([["姓名", "城市", "等级"], ["王", "", "高"]]).header == 1


def test_a_file_without_a_header_gets_names_and_loses_no_row() -> None:
    assert laid_out([["王小明", "13812345678"], ["李娜", "13912345678"]]) == Layout(("column 1", "column 2"), 0)


def test_names_that_repeat_or_lack_are_told_apart() -> None:
    assert laid_out([["电话", "电话", "", "城市"], ["1", "2", "3", "4"]]).names == (
        "电话",
        "电话 (2)",
        "column 3",
        "城市",
    )
