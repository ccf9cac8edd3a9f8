"""What columns mean: guessed where names and values agree, asked where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.errors import Refused
from collectors.columns import Column, ImportMap, RowKind, check_map, guess, map_of, questions_of
from collectors.tabular import Layout

PHONES = ["13812345678", "139 1234 5678", "+8615012345678"]


def guessed(kind: RowKind, **columns: list[Any]) -> list[Column]:
    rows = [(n, list(cells)) for n, cells in enumerate(zip(*columns.values(), strict=True), 2)]
    return guess(Layout(tuple(columns), 1), rows, kind, region="CN")


def meanings(columns: list[Column]) -> dict[str, tuple[str, bool]]:
    return {each.name: (each.meaning, each.sure) for each in columns}


def test_names_that_the_values_confirm_are_sure() -> None:
    found = guessed(
        RowKind.LEADS,
        客户姓名=["王", "李", "赵"],
        联系方式=PHONES,
        意向车型=["X9"] * 3,
        留资时间=["2026/3/5"] * 3,
        备注2=["a"] * 3,
    )
    assert meanings(found) == {
        "客户姓名": ("name", True),
        "联系方式": ("phone", True),
        "意向车型": ("model", True),
        "留资时间": ("occurred_at", True),
        "备注2": ("property.备注2", True),
    }
    assert questions_of(found, RowKind.LEADS) == []


def test_values_alone_make_a_question() -> None:
    vins = ["1M8GDM9AXKP042788"] * 3  # whose check digit is true
    found = guessed(RowKind.PEOPLE, A=PHONES, B=vins, C=["a@x.cn"] * 3, D=["高"] * 3)
    assert meanings(found) == {
        "A": ("phone", False),
        "B": ("vin", False),
        "C": ("email", False),
        "D": ("trait.D", True),
    }
    asked = questions_of(found, RowKind.PEOPLE)
    assert [each.column for each in asked] == ["A", "B", "C"]
    assert asked[0].options == ["phone", "property.A", "ignore"]


def test_a_name_that_few_values_bear_out_is_asked_and_one_that_none_does_is_not_believed() -> None:
    found = guessed(RowKind.LEADS, 手机=["13812345678", "暂无", "微信联系"], 电话=["张三", "李四", "王五"])
    assert meanings(found) == {"手机": ("phone", False), "电话": ("property.电话", False)}


def test_what_a_file_lacks_is_asked() -> None:
    assert [each.column for each in questions_of(guessed(RowKind.LEADS, 姓名=["王"]), RowKind.LEADS)] == [""]
    assert [each.column for each in questions_of(guessed(RowKind.EVENTS, 手机=PHONES[:1]), RowKind.EVENTS)] == [""]


def test_samples_are_masked_whatever_the_column_is_taken_for() -> None:
    found = guessed(RowKind.PEOPLE, 姓名=["王小明"], 其他=["call 13812345678"], x=["a@example.com"], y=[13812345678.0])
    shown = repr([each.samples for each in found])
    assert not [value for value in ("王小明", "13812345678", "a@example.com") if value in shown]


def test_a_map_is_checked_before_a_row_is_taken() -> None:
    names = ("姓名", "手机")
    check_map(ImportMap(kind=RowKind.LEADS, columns={"手机": "phone"}), names)
    check_map(map_of(guessed(RowKind.LEADS, 姓名=["王"], 手机=PHONES[:1]), RowKind.LEADS), names)
    wrong = [
        ImportMap(kind=RowKind.LEADS, columns={"手机": "phone", "车型": "model"}),
        ImportMap(kind=RowKind.LEADS, columns={"手机": "telephone"}),
        ImportMap(kind=RowKind.LEADS, columns={"姓名": "name"}),
        ImportMap(kind=RowKind.PEOPLE, columns={"手机": "member_id", "姓名": "member_id"}),
        ImportMap(kind=RowKind.EVENTS, columns={"手机": "phone"}),
    ]
    for told in wrong:
        with pytest.raises(Refused):
            check_map(told, names)
    check_map(ImportMap(kind=RowKind.EVENTS, columns={"手机": "phone"}, event="order_paid"), names)
