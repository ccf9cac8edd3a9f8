"""Read `op`, `value` and `ref`: what may be asked depends on what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from segments.limits import MAX_COUNT
from segments.names import Of, is_contact, is_moment, misnamed
from segments.pattern import fault_of
from segments.personal import is_tokenised
from segments.reading import Place
from segments.tree import Op, Test

COMPARED = ("op", "value", "ref")
"""The fields that make a comparison."""

ANNIVERSARY = "anniversary"
_WAITING = {ANNIVERSARY: "anniversary waits until vehicles exist; compare the date with older_than and newer_than."}


class Kind(StrEnum):
    """What is compared. A VALUE is of any type and may be missing; NUMBER may be missing, TOTAL and COUNT are not;
    SINCE is a moment of which only the age is asked; PERSONAL may only be there or not."""

    VALUE = "value"
    NUMBER = "number"
    TOTAL = "total"
    COUNT = "count"
    MOMENT = "moment"
    SINCE = "since"
    PERSONAL = "personal"


_ORDER = (Op.EQ, Op.NE, Op.GT, Op.GE, Op.LT, Op.LE, Op.BETWEEN)
_THERE = (Op.MISSING, Op.PRESENT)
_AGE = (Op.OLDER, Op.NEWER)
_NUMERIC = (*_ORDER, Op.IN, Op.NOT_IN)

OPS: Mapping[Kind, tuple[Op, ...]] = {
    Kind.VALUE: tuple(Op),
    Kind.NUMBER: (*_NUMERIC, *_THERE),
    Kind.TOTAL: _NUMERIC,
    Kind.COUNT: _NUMERIC,
    Kind.MOMENT: (*_ORDER, *_AGE, *_THERE),
    Kind.SINCE: (*_AGE, *_THERE),
    Kind.PERSONAL: _THERE,
}
_SAID = {
    Kind.VALUE: "an op",
    Kind.SINCE: "an op for how long ago something was",
    Kind.PERSONAL: "an op for a personal value",
}
REF_OPS = (Op.EQ, Op.NE, Op.GT, Op.GE, Op.LT, Op.LE, Op.CONTAINS, Op.STARTS)
"""Those that may compare with another property or attribute."""
ORDERED = (Op.GT, Op.GE, Op.LT, Op.LE, Op.BETWEEN)

ANYTHING = Test(Op.PRESENT)
"""Stands in for a comparison that could not be read."""


def kind_of_name(of: Of, name: str) -> Kind:
    if is_contact(of, name) or is_tokenised(name):
        return Kind.PERSONAL
    return Kind.MOMENT if is_moment(of, name) else Kind.VALUE


def read_name(place: Place, of: Of) -> str:
    """The name of a property or an attribute."""
    name = place.text("a name")
    wrong = misnamed(of, name) if name else None
    if wrong is not None:
        place.refuse(*wrong)
    return name


def read_test(given: Mapping[str, Place], kind: Kind, of: Of | None = None) -> Test:
    """The comparison in the fields of an object; `of` tells whose names `ref` may hold, None that there is none."""
    if "op" not in given:
        return ANYTHING
    ref = given.get("ref") if of is not None else None
    allowed = [op for op in OPS[kind] if ref is None or op in REF_OPS]
    what = _SAID.get(kind, f"an op for a {kind.value}")
    op = given["op"].choice(allowed, what=f"{what} that compares with a ref" if ref else what, waiting=_WAITING)
    if op == "":
        return ANYTHING
    if ref is not None and of is not None:
        if "value" in given:
            ref.refuse("either value or ref", "Take one of them out.")
        return Test(Op(op), ref=read_name(ref, of))
    return _against_value(Op(op), given, kind)


def _against_value(op: Op, given: Mapping[str, Place], kind: Kind) -> Test:
    value = given.get("value")
    if op in _THERE:
        if value is not None:
            value.refuse(f"no value beside {op.value}", "Take the value out.")
        return Test(op)
    if value is None:
        given["op"].refuse("a value for this op", "Add the field value.", got="none")
        return Test(op, 0)
    return Test(op, _value(op, value, kind))


def _value(op: Op, place: Place, kind: Kind) -> Any:
    match op:
        case Op.OLDER | Op.NEWER:
            return place.duration(least=0)
        case Op.IN | Op.NOT_IN:
            return place.each(lambda each: _single(op, each, kind))
        case Op.BETWEEN:
            return _between(place, kind)
        case Op.STARTS:
            return place.text()
        case Op.MATCHES:
            return _pattern(place)
        case _:
            return _single(op, place, kind)


def _single(op: Op, place: Place, kind: Kind) -> Any:
    if kind is Kind.COUNT:
        return place.whole(-MAX_COUNT, MAX_COUNT)
    if kind in (Kind.NUMBER, Kind.TOTAL):
        return place.number()
    if kind is Kind.MOMENT:
        return place.moment()
    if op in ORDERED and isinstance(place.value, bool):
        place.refuse("a number or a text", "True and false have no order; compare them with =.")
        return 0
    return place.scalar()


def _between(place: Place, kind: Kind) -> tuple[Any, Any]:
    ends = place.each(lambda each: _single(Op.BETWEEN, each, kind), least=2, most=2)
    if len(ends) != 2:
        return 0, 0
    if isinstance(ends[0], str) != isinstance(ends[1], str):
        place.refuse("two numbers or two texts", "Write both ends in the same way.")
    return ends[0], ends[1]


def _pattern(place: Place) -> str:
    pattern = place.text("a regular expression")
    wrong = fault_of(pattern)
    if wrong is not None:
        place.refuse("a regular expression of RE2", f"It has {wrong}.")
    return pattern
