"""How the values of each column type agree, and which form they are brought into."""

from __future__ import annotations

import numpy as np
import pytest

from identity.matching.columns import ColumnType
from identity.matching.compare import EQUAL, compare_values, level_names
from identity.matching.normalise import normalise, surname_zh
from identity.matching.pairs import compare_pairs
from identity.matching.records import Records, column_of


def level(kind: str, one: str, other: str) -> str:
    of_type = ColumnType(kind)
    columns = {"only": column_of(of_type, [one, other])}
    records = Records(np.array(["1", "2"], object), columns)
    (levels,) = compare_pairs(records, np.array([0]), np.array([1]))
    return level_names(of_type)[levels[0]]


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        ("surname", "Müller", "MULLER ", "equal"),
        ("surname", "O'Brien", "OBrien", "equal"),
        ("surname", "Smith", "Smiht", "close"),
        ("surname", "Catherine", "Katherin", "alike"),
        ("given_name", "Benjamin", "Ben", "start"),
        ("given_name", "Christopher", "Chr", "start"),
        ("given_name", "W", "William", "start"),
        ("surname", "Smith", "Kowalski", "other"),
        ("surname", "Smith", "", "missing"),
        ("full_name", "Li Ming Zhang", "zhang, li ming", "close"),
        ("full_name", "thomas clifford, 1st baron clifford", "thomas clifford", "alike"),
        ("full_name", "ann lee", "rupert brook", "other"),
        ("name_zh", "王 伟", "王伟", "equal"),
        ("name_zh", "王伟", "王玮", "pinyin"),
        ("name_zh", "陈静", "程静", "sound"),
        ("name_zh", "余小明", "佘小明", "sound"),
        ("name_zh", "李建国", "李建军", "one_sign"),
        ("name_zh", "欧阳娜", "欧阳震华", "surname"),
        ("name_zh", "王伟", "刘洋", "other"),
        ("date", "1990-02-03", "19900203", "equal"),
        ("date", "1990年2月3日", "03/02/1990", "equal"),
        ("date", "1990-02-03", "1990-03-02", "slip"),
        ("date", "1990-02-03", "1990-02-08", "slip"),
        ("date", "1990-02-13", "1990-02-28", "two_parts"),
        ("date", "1860-07-19", "1860-01-01", "near"),
        ("date", "1990-01-30", "1990-02-04", "near"),
        ("date", "1990-02-13", "1990-11-28", "year"),
        ("date", "1990-02-13", "1951-11-28", "other"),
        ("phone", "+86 138-1234-5678", "13812345678", "equal"),
        ("phone", "13812345678", "01012345678", "last_8"),
        ("phone", "13812345678", "13812345687", "slip"),
        ("phone", "13812345678", "15900001111", "other"),
        ("email", "A.Li@x.cn", "a.li@x.cn", "equal"),
        ("email", "a.li@x.cn", "a.li@mail.example.org", "local"),
        ("postcode", "tq13 8df", "TQ138DF", "equal"),
        ("postcode", "TQ13 8DF", "TQ13 8HU", "district"),
        ("postcode", "200031", "200433", "district"),
        ("place", "new york city", "new york", "shared"),
        ("category", "male", "female", "other"),
        ("id_number", "11010519491231002X", "110105194912310021", "slip"),
        ("id_number", "11010519491231002x", "11010519491231002X", "equal"),
        ("vin", "LSVAU2180E2123456", "LSVAU2180F2123456", "slip"),
        ("plate", "沪A·12345", "沪A12345", "equal"),
        ("address", "12 kent street", "12 kent streat", "close"),
        ("text", "7", "9", "close"),
    ],
)
def test_two_values_agree_as_far_as_a_person_would_say(kind: str, one: str, other: str, expected: str) -> None:
    assert level(kind, one, other) == expected
    assert level(kind, other, one) == expected


@pytest.mark.parametrize("kind", ColumnType)
@pytest.mark.parametrize(
    "value", ["王伟2", "Ann-Marie O'Neil 1", "1990/2/3", "+86 13812345678", "a1@b.cn", "沪A·12345", "７"]
)
def test_normalising_twice_changes_nothing(kind: ColumnType, value: str) -> None:
    once = normalise(kind, value)

    assert once is not None
    assert normalise(kind, once) == once


@pytest.mark.parametrize("value", ["", "  ", "NULL", "N/A", "未知", "-", "\u3000"])
def test_what_stands_for_nothing_is_missing(value: str) -> None:
    assert {normalise(kind, value) for kind in ColumnType} == {None}


def test_a_swapped_name_is_seen_as_such() -> None:
    columns = {
        "given": column_of(ColumnType.GIVEN_NAME, ["Mary", "Brown"]),
        "family": column_of(ColumnType.SURNAME, ["Brown", "Mary"]),
    }
    given, family = compare_pairs(Records(np.array(["1", "2"], object), columns), np.array([0]), np.array([1]))

    names = level_names(ColumnType.GIVEN_NAME)
    assert (names[given[0]], names[family[0]]) == ("swapped", "swapped")


@pytest.mark.parametrize("kind", ColumnType)
def test_odd_values_are_compared_without_an_error(kind: ColumnType) -> None:
    odd = [form for value in ("0", "😀", "ab", "x" * 300, "1/1/1", "٣٤٥", "@", "ß") if (form := normalise(kind, value))]
    one = np.array(odd[:-1], object)

    levels = compare_values(kind, one, np.array(odd[1:], object))

    assert (levels > EQUAL).all()


def test_a_compound_surname_is_one() -> None:
    assert (surname_zh("欧阳娜"), surname_zh("王伟"), surname_zh("司马光")) == ("欧阳", "王", "司马")
