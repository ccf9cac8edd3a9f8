"""Durations and moments as a segment writes them, and back. Every reader raises ValueError with what it expected."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cdp.model import DAY_MS, Millis
from segments.tree import Duration

_UNIT_MS = {"W": 604_800_000, "D": DAY_MS, "H": 3_600_000, "M": 60_000, "S": 1_000}
_DURATION = re.compile(r"P(?=.)(?P<days>(?:[0-9]{1,12}[WD])*)(?:T(?P<clock>(?:[0-9]{1,12}[HMS])+))?")
_PART = re.compile(r"([0-9]+)([WDHMS])")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<time>[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

YEARS = range(1901, 2200)
"""Of moments: every store can hold these."""
EARLIEST: Millis = (datetime(YEARS[0], 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)

A_DURATION = "a duration such as P7D, P2W, PT2H or P1DT12H"
A_MOMENT = "a moment such as 2026-03-01T10:00:00+08:00, or a date such as 2026-03-01"


@cache
def time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def parse_duration(text: str) -> Duration:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(A_DURATION)
    parts = _PART.findall(found["days"] + (found["clock"] or ""))
    return sum(int(amount) * _UNIT_MS[unit] for amount, unit in parts)


def duration_parts(duration: Duration) -> list[tuple[int, str]]:
    """[(1, "D"), (12, "H")]: days, hours, minutes and seconds of a duration that `parse_duration` gave."""
    parts = []
    for unit in "DHMS":
        amount, duration = divmod(duration, _UNIT_MS[unit])
        if amount:
            parts.append((amount, unit))
    return parts or [(0, "S")]


def duration_text(duration: Duration) -> str:
    """P1DT12H."""
    parts = duration_parts(duration)
    days = "".join(f"{amount}{unit}" for amount, unit in parts if unit == "D")
    clock = "".join(f"{amount}{unit}" for amount, unit in parts if unit != "D")
    return f"P{days}T{clock}" if clock else f"P{days}"


def parse_moment(text: str, tz: ZoneInfo) -> Millis:
    """A date is its midnight in `tz`."""
    found = _MOMENT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        moment = datetime.fromisoformat(text.upper())
        if found["time"] is None:
            moment = moment.replace(tzinfo=tz)
        if moment.year not in YEARS:
            raise ValueError
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise ValueError(A_MOMENT) from None


def local_moment(at: Millis, tz: str) -> str:
    """2026-03-01 10:00 on the clocks of `tz`; midnight is the date alone."""
    moment = (_EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(tz))
    if (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0):
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M}" + (f":{moment:%S}" if moment.second else "")
