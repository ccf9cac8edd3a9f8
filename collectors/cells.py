"""What one cell of a file says: an identifier, a time or a value, the same whatever program wrote the file.

A spreadsheet turns long numbers into floats and into `1.38E+10`. Where all digits are still there they are read; where
some are lost the cell is refused, because a guess would be somebody else's number.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

from cdp.model import Millis
from collectors.tabular import Cell, shown
from collectors.workbook import plain_value

EXACT_DIGITS = 15
"""A spreadsheet keeps so many digits of a number, and writes zeros for the rest."""
MOMENT_CHARACTERS = 40
"""What is longer is no time; taking it for one could take minutes."""

_ERRORS = frozenset(("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"))
"""What a spreadsheet shows for a formula that failed, such as a VLOOKUP that found nothing."""
_NO_VALUE = (
    "- -- --- — —— – _ / \\ . 、 n/a na nil none null (null) <null> nan undefined (blank) "
    "无 没有 暂无 没 空 未知 不详 未填 未填写 未提供 未留 待补充"
)
"""How people and programs write that there is no value."""
_NONE = frozenset(_NO_VALUE.split())
_ZEROS = re.compile(r"0+(?:\.0+)?")
_BETWEEN_VALUES = re.compile(r"[/\\;,、|\n\r]+|或")

_SCIENTIFIC = re.compile(r"(\d)(?:\.(\d+))?[eE]\+?(\d{1,3})")
_WHOLE = re.compile(r"(\d+)\.0+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")
_TIME = re.compile(
    r"(?P<year>\d{4})\s*[-/.年]\s*(?P<month>\d{1,2})\s*[-/.月]\s*(?P<day>\d{1,2})\s*日?"
    r"(?:[T\s]*(?P<half>上午|下午)?\s*(?P<hour>\d{1,2})\s*[:时点]\s*(?P<minute>\d{1,2})"
    r"\s*分?(?:\s*:?\s*(?P<second>\d{1,2})(?:[.,]\d+)?\s*秒?)?)?"
    r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?"
)
_SINCE = re.compile(r"\d{1,15}(?:\.\d{1,15})?|\d(?:\.\d{1,15})?[eE]\+?(?:0?\d|1[0-5])")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2}))?")
_SERIAL_DAYS = range(20_000, 80_000)
"""As dates the years 1954 to 2119."""
_SERIAL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  (a spreadsheet's day 0, in whatever zone)
_SECONDS = range(946_684_800, 4_102_444_800)
"""Unix times of the years 2000 to 2099."""


class DigitsLostError(ValueError):
    """The program that wrote the file threw digits away."""


def is_empty(cell: Cell) -> bool:
    """Whether nothing is in a cell, or what a formula that failed left there."""
    text = shown(cell)
    return not text or text.upper() in _ERRORS


def says_none(cell: Cell) -> bool:
    """Whether a cell says that there is no value: 无, `-`, N/A, null."""
    return is_empty(cell) or unicodedata.normalize("NFKC", shown(cell)).lower() in _NONE


def names_nobody(cell: Cell) -> bool:
    """Whether a cell where a number or a name of somebody belongs holds none: zeros, or words for none."""
    return says_none(cell) or _ZEROS.fullmatch(unicodedata.normalize("NFKC", shown(cell))) is not None


def parts_of(text: str) -> list[str]:
    """What may be several values in one cell, as people write them: 138…/139…, a@x.cn; b@x.cn."""
    return [part for each in _BETWEEN_VALUES.split(text) if (part := each.strip())]


def identifier_text(cell: Cell) -> str:
    """A cell that names somebody, as text. Raises DigitsLostError."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        if not abs(cell) < 10**EXACT_DIGITS:
            raise DigitsLostError
        return shown(cell)
    text = unicodedata.normalize("NFKC", shown(cell)).lstrip("'`").strip()
    if whole := _WHOLE.fullmatch(text):
        if len(whole[1].lstrip("0")) > EXACT_DIGITS:
            raise DigitsLostError
        return whole[1]
    if scientific := _SCIENTIFIC.fullmatch(text):
        _, rest, exponent = scientific.groups()
        if len(rest or "") < int(exponent) or int(exponent) >= EXACT_DIGITS:
            raise DigitsLostError
        return str(int(Decimal(text)))
    return text


def moment_of(cell: Cell, zone: tzinfo) -> Millis | None:
    """A point in time, by the clocks of `zone` where it names none; None where it is none, or could be two, as
    5/3/2026."""
    text = unicodedata.normalize("NFKC", shown(cell)) if len(shown(cell)) <= MOMENT_CHARACTERS else ""
    try:
        if found := _TIME.fullmatch(text):
            return _from_parts(found, zone)
        if compact := _COMPACT.fullmatch(text):
            return _millis(datetime(*(int(part) for part in compact.groups() if part)), zone)  # type: ignore[arg-type]  # noqa: DTZ001
        return _numeric(Decimal(text), zone) if _SINCE.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def value_of(cell: Cell) -> Any:
    """What a trait or a property holds: numbers as numbers, dates as ISO 8601, all else as the text that it is.

    A number with zeros before it, or of more digits than a spreadsheet keeps, is a text.
    """
    if isinstance(cell, bool):
        return cell
    text = shown(cell)
    if _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() and "." not in text.rstrip("0").rstrip(".") else number
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if len(text) <= MOMENT_CHARACTERS and (found := _TIME.fullmatch(text)) and not found["zone"]:
        try:
            return plain_value(_parts(found))
        except ValueError:
            pass
    return text


def _numeric(number: Decimal, zone: tzinfo) -> Millis | None:
    if int(number) in _SERIAL_DAYS:
        return _millis(_SERIAL_EPOCH + timedelta(seconds=round(float(number) * 86_400)), zone)
    if int(number) in _SECONDS:
        return int(number * 1000)
    if int(number) // 1000 in _SECONDS:
        return int(number)
    return None


def _from_parts(found: re.Match[str], zone: tzinfo) -> Millis:
    said = found["zone"]
    if said == "Z":
        return _millis(_parts(found), UTC)
    if said:
        minutes = int(said[1:3]) * 60 + int(said[-2:])
        return _millis(_parts(found), timezone(timedelta(minutes=-minutes if said[0] == "-" else minutes)))
    return _millis(_parts(found), zone)


def _parts(found: re.Match[str]) -> datetime:
    hour = int(found["hour"] or 0)
    if found["half"] == "下午" and hour < 12:
        hour += 12
    elif found["half"] == "上午" and hour == 12:
        hour = 0
    day = int(found["year"]), int(found["month"]), int(found["day"])
    return datetime(*day, hour, int(found["minute"] or 0), int(found["second"] or 0))  # noqa: DTZ001


def _millis(at: datetime, zone: tzinfo) -> Millis:
    return round((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000)
