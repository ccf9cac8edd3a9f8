"""Read aggregates and what they are compared with."""

from __future__ import annotations

from collections.abc import Mapping

from segments.comparison import Kind, kind_of_name, read_name, read_test
from segments.counts import CHOSEN
from segments.limits import MAX_COUNT
from segments.names import Of, is_contact, is_moment
from segments.reading import Place
from segments.tree import Aggregate, Fn, Op, Test

PERIODS = ("hour", "day", "week", "month")

_NEED_OF = (Fn.SUM, Fn.AVG, Fn.MIN, Fn.MAX, Fn.DISTINCT)
_MAY_HAVE_OF = (*_NEED_OF, Fn.FIRST, Fn.LAST, Fn.NTH)
_FNS = {Of.EVENT: tuple(Fn), Of.LEAD: (Fn.COUNT, Fn.SUM, Fn.AVG, Fn.MIN, Fn.MAX)}
_WORDS = {"any": Test(Op.GE, 1), "none": Test(Op.EQ, 0)}
"""Said of related objects in the place of a count."""
_KINDS = {
    Fn.COUNT: Kind.COUNT,
    Fn.DISTINCT: Kind.COUNT,
    Fn.PERIODS: Kind.COUNT,
    Fn.SUM: Kind.TOTAL,
    Fn.SINCE_FIRST: Kind.SINCE,
    Fn.SINCE_LAST: Kind.SINCE,
}


def kind_of_aggregate(agg: Aggregate) -> Kind:
    """What an aggregate gives to compare."""
    if agg.fn in CHOSEN:
        return kind_of_name(Of.EVENT, agg.of) if agg.of else Kind.MOMENT
    return _KINDS.get(agg.fn, Kind.NUMBER)


def read_amount(place: Place, given: Mapping[str, Place], of: Of) -> tuple[Aggregate, Test]:
    """The aggregate of a leaf and its comparison; what is not compared is a count of at least 1."""
    if of is Of.LEAD and (test := _word(given)) is not None:
        return Aggregate(), test
    agg = _aggregate(given["agg"], of) if "agg" in given else Aggregate()
    if "op" in given:
        return agg, read_test(given, kind_of_aggregate(agg))
    if "value" in given:
        given["value"].refuse("an op beside the value", "Add the field op, such as >=.")
    elif agg.fn is not Fn.COUNT:
        place.refuse(f"an op and a value beside {agg.fn.value}", "Say what it is compared with.", got="none")
    return agg, Test(Op.GE, 1)


def _word(given: Mapping[str, Place]) -> Test | None:
    agg = given.get("agg")
    word = agg.value.get("fn") if agg is not None and isinstance(agg.value, dict) else None
    if agg is None or not isinstance(word, str) or word not in _WORDS:
        return None
    agg.fields(("fn",))
    for name in [name for name in ("op", "value") if name in given]:
        given[name].refuse(f"no {name} beside {word}", "Take the field out, or count instead.")
    return _WORDS[word]


def _aggregate(place: Place, of: Of) -> Aggregate:
    given = place.fields(("fn", "of", "n", "period"), required=("fn",))
    name = given["fn"].choice(_FNS[of], what="an aggregate") if "fn" in given else ""
    if name == "":
        return Aggregate()
    fn = Fn(name)
    _check_fields(place, given, fn)
    return Aggregate(
        fn,
        of=_of(given["of"], of) if "of" in given else "",
        n=given["n"].whole(1, MAX_COUNT) if "n" in given else 0,
        period=given["period"].choice(PERIODS, what="a period") if "period" in given else "",
    )


def _check_fields(place: Place, given: Mapping[str, Place], fn: Fn) -> None:
    takes = {"of": fn in _MAY_HAVE_OF, "n": fn is Fn.NTH, "period": fn is Fn.PERIODS}
    needs = {**takes, "of": fn in _NEED_OF}
    for name in takes:
        if name in given and not takes[name]:
            given[name].refuse(f"no {name} beside {fn.value}", "Take the field out.")
        if name not in given and needs[name]:
            place.refuse(f"{name} beside {fn.value}", f"Add the field {name}.", got="none")


def _of(place: Place, of: Of) -> str:
    name = read_name(place, of)
    if is_moment(of, name) or is_contact(of, name):
        place.refuse("a property that holds numbers", "Count with it in a filter instead.")
    return name
