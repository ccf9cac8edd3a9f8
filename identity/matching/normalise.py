"""One written form per column type, so that the same thing written twice compares as equal.

What cannot be read stays as it came, in comparable signs: a mistyped date or phone is evidence all the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from identity.matching.columns import ColumnType
from identity.normalise import normalise as normalise_identifier

NOTHING = frozenset(("", "-", "--", "null", "none", "nan", "n/a", "nil", "unknown", "未知", "无", "不详"))
"""What people and programs write into a field they do not know."""

MAX_LENGTH = 200
"""Signs of a value that are compared; longer ones are cut, for comparing is quadratic in length."""

_ISO_DATE = re.compile(r"(\d{4})\D+(\d{1,2})\D+(\d{1,2})(?:\D.*)?")
_DAY_FIRST = re.compile(r"(\d{1,2})\D+(\d{1,2})\D+(\d{4})(?:\D.*)?")


def normalise(kind: ColumnType, value: str) -> str | None:
    """The comparable form, or None where the field says nothing. Doing it twice changes nothing."""
    text = " ".join(unicodedata.normalize("NFKC", value[:MAX_LENGTH]).casefold().split())
    if text in NOTHING:
        return None
    return _BY_TYPE.get(kind, _same)(text) or None


def _same(text: str) -> str:
    return text


def _words(text: str) -> str:
    """Letters and digits in words of one space between; accents are dropped, for keyboards drop them too."""
    bare = (sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return " ".join("".join(sign if sign.isalnum() else " " for sign in bare if sign not in "'’`").split())


def _joined(text: str) -> str:
    return _words(text).replace(" ", "")


def _date(text: str) -> str:
    """YYYYMMDD; day before month where the year stands last, as everywhere but in the United States."""
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = found.groups()
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year = found.groups()
        if int(month) > 12 >= int(day):
            day, month = month, day
    else:
        return re.sub(r"\D", "", text) or text
    return f"{year}{month:0>2}{day:0>2}"


def _phone(text: str) -> str:
    """The national number where the country is plain, else the digits."""
    digits = "".join(sign for sign in text if sign.isdecimal() and sign.isascii())
    return re.sub(r"^(?:00)?86(?=1\d{10}$)", "", digits)


def _upper(text: str) -> str:
    return "".join(sign for sign in text.upper() if sign.isalnum())


def _id_number(text: str) -> str:
    return normalise_identifier("id_card", text) or _upper(text)


_BY_TYPE: dict[ColumnType, Callable[[str], str]] = {
    ColumnType.GIVEN_NAME: _joined,
    ColumnType.SURNAME: _joined,
    ColumnType.FULL_NAME: _words,
    ColumnType.NAME_ZH: _joined,
    ColumnType.DATE: _date,
    ColumnType.PHONE: _phone,
    ColumnType.POSTCODE: _upper,
    ColumnType.ADDRESS: _words,
    ColumnType.PLACE: _words,
    ColumnType.ID_NUMBER: _id_number,
    ColumnType.VIN: _upper,
    ColumnType.PLATE: _upper,
    ColumnType.TEXT: _words,
}


@cache
def pinyin(name: str) -> str:
    """Toneless syllables of a Chinese name, joined by spaces; other letters stay."""
    from pypinyin import lazy_pinyin

    return " ".join(lazy_pinyin(name))


_MERGED_SOUNDS = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("ng", "n"), ("l", "n"), ("hu", "fu"), ("r", "n"))
"""Sounds that many speakers do not tell apart, so that a name taken down by ear swaps them."""

_ALIKE_SIGNS = (
    "己已巳",
    "末未",
    "士土",
    "日曰",
    "戊戌戍",
    "候侯",
    "陈阵",
    "刘列",
    "冯马",
    "宋宗",
    "余佘",
    "干于千",
    "毛手",
    "杨扬",
    "沈沉",
)
"""Signs that an eye or a scanner takes for each other."""

_SHAPES = {ord(sign): group[0] for group in _ALIKE_SIGNS for sign in group}


@cache
def sound_class(name: str) -> str:
    """The pinyin with signs merged that look alike, and sounds that southern speakers merge: 陈 and 程 are one."""
    text = pinyin(name.translate(_SHAPES))
    for sound, merged in _MERGED_SOUNDS:
        text = text.replace(sound, merged)
    return text


_COMPOUND = "欧阳司马上官诸葛东方皇甫尉迟公孙慕容令狐宇文长孙司徒司空夏侯端木百里东郭南宫轩辕呼延独孤"
_COMPOUND_SURNAMES = frozenset(_COMPOUND[at : at + 2] for at in range(0, len(_COMPOUND), 2))


def surname_zh(name: str) -> str:
    """The surname of a Chinese name: its first sign, or the first two where they are a compound surname."""
    return name[:2] if name[:2] in _COMPOUND_SURNAMES else name[:1]
