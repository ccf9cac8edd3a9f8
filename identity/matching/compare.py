"""How far two values of a column agree: a small number, from `equal` down to `other`.

Levels are fixed per column type; what each is worth is learnt (`fellegi_sunter`). Values are compared once per
distinct pair of values, in C (rapidfuzz), whatever the number of record pairs that hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from identity.matching.columns import ColumnType
from identity.matching.normalise import pinyin, sound_class, surname_zh

Values = NDArray[np.object_]
Levels = NDArray[np.int8]
Flags = NDArray[np.bool_]

WORKERS = 2
"""Threads that compare strings; they change the time and not the result."""

MISSING, EQUAL = 0, 1
"""The two levels that each column has; its own follow, from nearest to `other`."""


@dataclass(frozen=True, slots=True)
class Comparator:
    """`levels` are names after `missing` and `equal`, the last is `other`; `tests` decide them, first hit wins."""

    levels: tuple[str, ...]
    tests: Callable[[Values, Values], list[Flags]]


def comparator(kind: ColumnType) -> Comparator:
    return _BY_TYPE[kind]


def level_names(kind: ColumnType) -> tuple[str, ...]:
    return ("missing", "equal", *comparator(kind).levels)


def compare_values(kind: ColumnType, left: Values, right: Values) -> Levels:
    """Levels of pairs of unequal values, neither of them missing."""
    own = comparator(kind)
    levels = np.full(len(left), EQUAL + len(own.levels), np.int8)
    if len(left):
        for number, hit in reversed(list(enumerate(own.tests(left, right)))):
            levels[hit] = EQUAL + 1 + number
    return levels


# How alike


def _cpdist(left: Values, right: Values, scorer: Any) -> NDArray[np.float32]:
    from rapidfuzz.process import cpdist

    return np.asarray(cpdist(left, right, scorer=scorer, dtype=np.float32, workers=WORKERS), np.float32)


def _winkler(left: Values, right: Values) -> NDArray[np.float32]:
    from rapidfuzz.distance import JaroWinkler

    return _cpdist(left, right, JaroWinkler.similarity)


def _slips(left: Values, right: Values) -> NDArray[np.float32]:
    """Damerau's distance: letters left out, added, changed or swapped with the next."""
    from rapidfuzz.distance import OSA

    return _cpdist(left, right, OSA.distance)


def _each(values: Values, take: Callable[[str], object]) -> NDArray[np.object_]:
    """`take` of each value, computed once per distinct value."""
    known = {value: take(value) for value in set(values.tolist())}
    found = np.empty(len(values), object)
    found[:] = [known[value] for value in values.tolist()]
    return found


def _same(left: Values, right: Values, take: Callable[[str], object]) -> Flags:
    """Whether both values have the same `take`; a value without one agrees with none."""
    a, b = _each(left, take), _each(right, take)
    return np.asarray((a == b) & (a != ""), bool)


def _lengths(values: Values) -> NDArray[np.int64]:
    return np.fromiter(map(len, values.tolist()), np.int64, len(values))


# Names


def sound(name: str) -> str:
    """How an English speaker would say it."""
    import jellyfish

    return jellyfish.metaphone(name)


def _name(left: Values, right: Values) -> list[Flags]:
    alike, slips = _winkler(left, right), _slips(left, right)
    shorter = np.minimum(_lengths(left), _lengths(right))
    return [
        (slips <= 1) & (shorter >= 3) | (alike >= 0.93),
        (alike >= 0.86) | _same(left, right, sound),
        _same(left, right, lambda name: name[:3]) | (shorter == 1) & _same(left, right, lambda name: name[:1]),
    ]


def in_order(name: str) -> str:
    """The words of a name sorted, for they change places."""
    return " ".join(sorted(name.split()))


def _full_name(left: Values, right: Values) -> list[Flags]:
    from rapidfuzz.fuzz import token_set_ratio

    a, b = _each(left, in_order), _each(right, in_order)
    alike, shared = _cpdist(left, right, token_set_ratio), _winkler(a, b)
    return [
        (_slips(a, b) <= 1),
        (shared >= 0.92) | (alike >= 90),
        alike >= 75,
        alike >= 60,
    ]


def _name_zh(left: Values, right: Values) -> list[Flags]:
    one_sign = (_slips(left, right) <= 1) & (np.minimum(_lengths(left), _lengths(right)) >= 2)
    return [
        _same(left, right, pinyin),
        _same(left, right, sound_class),
        one_sign & _same(left, right, surname_zh),
        one_sign,
        _same(left, right, surname_zh),
    ]


# Dates


def _date(left: Values, right: Values) -> list[Flags]:
    years, months, days = (
        _same(left, right, lambda date, at=at: date[at])  # type: ignore[misc]
        for at in (slice(0, 4), slice(4, 6), slice(6, 8))
    )
    swapped = np.asarray(left == _each(right, lambda date: date[:4] + date[6:8] + date[4:6]), bool)
    first = _each(left, lambda date: date[4:] == "0101") | _each(right, lambda date: date[4:] == "0101")
    apart = np.abs(_each(left, _day).astype(np.float64) - _each(right, _day).astype(np.float64))
    return [
        (_slips(left, right) <= 1) | swapped,
        years & (months | days) | months & days,
        years & first.astype(bool) | (apart <= 45),
        years | (apart <= 400),
    ]


def _day(date: str) -> float:
    """Days in a calendar of equal months, to say that two dates are near; NaN, which is near to none, if unread."""
    if len(date) != 8 or not date.isdecimal():
        return float("nan")
    return int(date[:4]) * 365.25 + int(date[4:6]) * 30.4 + int(date[6:8])


# Numbers and places


def _phone(left: Values, right: Values) -> list[Flags]:
    a, b = _each(left, lambda number: number[-8:]), _each(right, lambda number: number[-8:])
    return [np.asarray(a == b, bool), _slips(a, b) <= 1]


def _email(left: Values, right: Values) -> list[Flags]:
    def local(address: str) -> str:
        return address.partition("@")[0]

    a, b = _each(left, local), _each(right, local)
    return [
        _slips(left, right) <= 1,
        np.asarray(a == b, bool) | (_slips(left, right) <= 2),
        _winkler(a, b) >= 0.9,
    ]


def district(postcode: str) -> str:
    """The part of a postcode that names a town or quarter: what precedes the last three signs, of digits the half."""
    return postcode[: (len(postcode) + 1) // 2] if postcode.isdecimal() else postcode[:-3]


def _area(postcode: str) -> str:
    return postcode[:2]


def _postcode(left: Values, right: Values) -> list[Flags]:
    return [_slips(left, right) <= 1, _same(left, right, district), _same(left, right, _area)]


def _place(left: Values, right: Values) -> list[Flags]:
    from rapidfuzz.fuzz import token_set_ratio

    return [
        (_slips(left, right) <= 1) | (_winkler(left, right) >= 0.93),
        _cpdist(left, right, token_set_ratio) >= 85,
    ]


def _text(left: Values, right: Values) -> list[Flags]:
    from rapidfuzz.fuzz import ratio, token_set_ratio

    alike, shared = _cpdist(left, right, ratio), _cpdist(left, right, token_set_ratio)
    return [(_slips(left, right) <= 1) | (alike >= 90), (alike >= 75) | (shared >= 85), (alike >= 60)]


def _category(left: Values, right: Values) -> list[Flags]:
    return []


def _number(left: Values, right: Values) -> list[Flags]:
    return [_slips(left, right) <= 1, _slips(left, right) <= 2]


def _vin(left: Values, right: Values) -> list[Flags]:
    return [_slips(left, right) <= 1, _same(left, right, lambda vin: vin[-8:])]


def _plate(left: Values, right: Values) -> list[Flags]:
    return [_slips(left, right) <= 1]


_NAME = Comparator(("close", "alike", "start", "swapped", "other"), _name)
_TEXT = Comparator(("close", "alike", "somewhat", "other"), _text)

_BY_TYPE = {
    ColumnType.GIVEN_NAME: _NAME,
    ColumnType.SURNAME: _NAME,
    ColumnType.FULL_NAME: Comparator(("close", "alike", "shared", "somewhat", "other"), _full_name),
    ColumnType.NAME_ZH: Comparator(
        ("pinyin", "sound", "one_sign", "one_sign_of_surname", "surname", "other"), _name_zh
    ),
    ColumnType.DATE: Comparator(("slip", "two_parts", "near", "year", "other"), _date),
    ColumnType.PHONE: Comparator(("last_8", "slip", "other"), _phone),
    ColumnType.EMAIL: Comparator(("slip", "local", "alike", "other"), _email),
    ColumnType.POSTCODE: Comparator(("slip", "district", "area", "other"), _postcode),
    ColumnType.ADDRESS: _TEXT,
    ColumnType.PLACE: Comparator(("close", "shared", "other"), _place),
    ColumnType.CATEGORY: Comparator(("other",), _category),
    ColumnType.ID_NUMBER: Comparator(("slip", "two_slips", "other"), _number),
    ColumnType.VIN: Comparator(("slip", "last_8", "other"), _vin),
    ColumnType.PLATE: Comparator(("slip", "other"), _plate),
    ColumnType.TEXT: _TEXT,
}
