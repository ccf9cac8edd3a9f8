"""Moments at which mistakes show: edges of windows, midnights, days on which clocks change, and their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from tests.oracle.values import EPOCH, Millis, day_start, first_day, local, units_later
from tests.segments.choices import Choices

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ZONES = (
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
)
DURATIONS = (DAY, HOUR, 7 * DAY, 20 * MINUTE, 2 * HOUR, 30 * DAY, SECOND)
TINY = (1, 2, 3, 5, 8)
"""So small that a test can look at every millisecond."""
UNITS = ("day", "week", "month", "quarter", "year")
OFFSETS = ("Z", "+08:00", "-05:00", "+10:30")


@dataclass(frozen=True)
class Clock:
    """What time it is, where, and the few moments, durations and calendar units that are spoken of."""

    now: Millis
    tz: str
    durations: tuple[Millis, ...]
    units: tuple[str, ...]
    anchors: tuple[Millis, ...] = ()

    def duration(self, choices: Choices) -> Millis:
        return choices.of(self.durations)

    def past(self, choices: Choices) -> Millis:
        """At `now` at the latest."""
        return min(self.moment(choices), self.now)

    def moment(self, choices: Choices) -> Millis:
        kind = choices.below(8)
        if kind < 4:
            return self.now - self.duration(choices) * (1 + choices.below(2)) + choices.of((0, 1, -1, 0))
        if kind < 7:
            return choices.of(self.anchors) + choices.of((0, 0, -1, 0, self.duration(choices)))
        return self.now + choices.of((0, -1, 1, *self.durations))

    def written(self, choices: Choices) -> str | int | float:
        """A moment as properties hold it."""
        at, form = self.moment(choices), choices.below(8)
        if form == 5:
            return at
        if form == 6:
            return at + 0.5
        return self._date(at).isoformat() if form == 7 else rfc3339(at, OFFSETS[form % 4])

    def literal(self, choices: Choices) -> Millis:
        """A moment that a segment names, some by the day."""
        at = self.moment(choices)
        return day_start(self._date(at), ZoneInfo(self.tz)) if choices.once_in(3) else at

    def _date(self, at: Millis) -> date:
        return local(at, ZoneInfo(self.tz)).date()


def draw_clock(choices: Choices, *, tiny: bool = False) -> Clock:
    """With `tiny`, durations are a few milliseconds."""
    tz = choices.of(ZONES)
    now, durations, units = choices.of(nows(tz)), choices.some(TINY if tiny else DURATIONS), choices.some(UNITS)
    anchors = [choices.of(_boundaries(now, tz, units[0])), choices.of(_boundaries(now, tz, units[-1]))]
    anchors += [choices.of(_around_jump(now, tz)), choices.of(_around_jump(now, tz))]
    return Clock(now, tz, durations, units, tuple(anchors))


def rfc3339(at: Millis, offset: str) -> str:
    zone = datetime.strptime(offset, "%z").tzinfo
    here = (EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    return f"{here:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}{offset}"


@cache
def nows(tz: str) -> tuple[Millis, ...]:
    """An ordinary moment, and others."""
    zone = ZoneInfo(tz)
    midnight = day_start(date(2026, 7, 1), zone)
    found = [day_start(date(2026, 6, 18), zone) + 12 * HOUR, midnight, midnight - 1, midnight + 1]
    found += [day_start(date(2024, 2, 29), zone) + 7 * HOUR, day_start(date(2026, 1, 1), zone)]
    for jump in jumps(tz):
        found += [jump - 1, jump, jump + 45 * MINUTE, jump + DAY, jump + 30 * DAY]
    return tuple(found)


@cache
def jumps(tz: str) -> tuple[Millis, ...]:
    """When the clocks were set forward or back in 2026, or in the year in which Samoa left out a day."""
    zone = ZoneInfo(tz)
    year = 2011 if tz == "Pacific/Apia" else 2026
    start = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    quarters = range(start, start + 367 * DAY, 15 * MINUTE)
    days = [day for day in quarters[::96] if _offset(day, zone) != _offset(day + DAY, zone)]
    hours = [range(day, day + DAY, 15 * MINUTE) for day in days]
    return tuple(
        at + 15 * MINUTE for day in hours for at in day if _offset(at, zone) != _offset(at + 15 * MINUTE, zone)
    )


def _offset(at: Millis, zone: ZoneInfo) -> timedelta | None:
    return local(at, zone).utcoffset()


@cache
def _boundaries(now: Millis, tz: str, unit: str) -> tuple[Millis, ...]:
    """Where this unit began, and some before it."""
    zone = ZoneInfo(tz)
    present = first_day(unit, local(now, zone).date())
    return tuple(day_start(units_later(unit, present, -back), zone) for back in range(3))


@cache
def _around_jump(now: Millis, tz: str) -> tuple[Millis, ...]:
    """The last change of the clocks, else today's midnight, and what lies about an hour around."""
    last = max((each for each in jumps(tz) if each <= now), default=_boundaries(now, tz, "day")[0])
    return (*(last + minutes * MINUTE for minutes in (0, 30, -30, 60, -60, 90, 15)), last - 1, last + HOUR - 1)
