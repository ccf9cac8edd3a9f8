"""Read windows: which stretch of time counts."""

from __future__ import annotations

from collections.abc import Mapping

from segments.comparison import read_name
from segments.limits import MAX_BACK
from segments.names import Of, is_contact
from segments.parts import event_names, node_of, read_where
from segments.reading import Place
from segments.tree import Calendar, Fixed, Rolling, Since, Step, Window

CALENDAR_UNITS = ("day", "week", "month", "quarter", "year")


def read_window(place: Place, depth: int) -> Window | None:
    match node_of(place, ("last", "calendar", "from", "since")):
        case "last":
            return _rolling(place.fields(("last", "until")))
        case "calendar":
            return _calendar(place.fields(("calendar", "back", "count")))
        case "from":
            return _fixed(place.fields(("from", "to")))
        case "since":
            return _since(place, depth)
        case _:
            return None


def _rolling(given: Mapping[str, Place]) -> Rolling:
    last = given["last"].duration()
    until = given["until"].duration(least=0) if "until" in given else 0
    if until >= last:
        given["until"].refuse("shorter than last", "The window reaches from last ago to until ago.")
    return Rolling(last, until)


def _calendar(given: Mapping[str, Place]) -> Calendar:
    unit = given["calendar"].choice(CALENDAR_UNITS, what="a calendar unit")
    back = given["back"].whole(0, MAX_BACK) if "back" in given else 0
    advice = "At most one more than back, which is 0 if left out."
    count = given["count"].whole(1, back + 1, advice) if "count" in given else 1
    return Calendar(unit, back, count)


def _fixed(given: Mapping[str, Place]) -> Fixed:
    start = given["from"].moment()
    end = given["to"].moment() if "to" in given else None
    if end is not None and end <= start:
        given["to"].refuse("later than from", "The window begins with from and ends before to.")
    return Fixed(start, end)


def _since(place: Place, depth: int) -> Since:
    given = place.fields(("since", "for"), required=("for",))
    length = given["for"].duration() if "for" in given else 0
    since = given["since"]
    match node_of(since, ("attr", "did")):
        case "attr":
            attr = since.fields(("attr",))["attr"]
            name = read_name(attr, of := Of(place.reading.entity.value))
            if is_contact(of, name):
                attr.refuse("an attribute that holds a moment", "A contact holds none; take created_at.")
            return Since(name, None, "", length)
        case "did":
            inner = since.fields(("did", "where", "which"))
            which = inner["which"].choice(("first", "last"), what="which match") if "which" in inner else "last"
            return Since("", Step(event_names(inner["did"]), read_where(inner, depth, Of.EVENT)), which, length)
        case _:
            return Since("", None, "", length)
