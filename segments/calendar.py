"""When days, weeks, months, quarters and years begin, in a time zone with its summer time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cdp.model import Millis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def start_of(unit: str, at: Millis, tz: str, later: int = 0) -> Millis:
    """When the unit begins that lies so many after the one that holds this moment. Weeks begin on Monday.

    A day that has no midnight begins when the clock jumps over it.
    """
    zone = _zone(tz)
    day = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone).date()
    return (datetime.combine(_later(unit, day, later), time(), zone) - _EPOCH) // timedelta(milliseconds=1)


def _later(unit: str, day: date, later: int) -> date:
    if unit == "day":
        return day + timedelta(days=later)
    if unit == "week":
        return day + timedelta(days=7 * later - day.weekday())
    length = _MONTHS[unit]
    months = (day.year * 12 + day.month - 1) // length * length + later * length
    return date(months // 12, months % 12 + 1, 1)


@lru_cache
def _zone(tz: str) -> ZoneInfo:
    return ZoneInfo(tz)
