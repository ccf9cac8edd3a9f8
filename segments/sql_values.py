"""Values in SQL: how a property or an attribute is read with its type, and how a test of it is written.

Values of a definition reach the engine as parameters only, and names of properties as quoted identifiers. A value has
one expression for each type it may have, NULL where it has another, so nothing is coerced: "1" is no number, and what
cannot be compared is false.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdp.model import Millis
from segments.tree import Op, Test

PARAMETER = 65_536
"""Bytes of a list in one parameter, at most: a server takes 128 KiB, as it is written there."""
NEVER = 2**62
"""The moment of what never comes."""
STAYS = "0"
"""That moment by `to_never`."""

_RFC3339 = (
    r"^\\d{4}-\\d{2}-\\d{2}([Tt]([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d([.]\\d+)?([Zz]|[+-]([01]\\d|2[0-3]):[0-5]\\d))?$"
)
_FURTHEST = 10**15
"""Numbers beyond it are no moments: the year 33658."""

_ORDERED = {Op.GT: ">", Op.GE: ">=", Op.LT: "<", Op.LE: "<="}


def to_never(moment: str) -> str:
    """A moment as its distance to NEVER, which is negative: so 0, which a unit without rows has for every state, stands
    for what never comes."""
    return f"(toInt64({moment}) - {NEVER})"


def from_never(distance: str) -> str:
    """The moment again."""
    return f"{distance} + {NEVER}"


@dataclass(slots=True)
class Params:
    """What a query's parameters are, each value once."""

    values: dict[str, Any] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def bind(self, value: Any, type_: str) -> str:
        """The parameter's place in the text."""
        key = (type_, repr(value))
        if key not in self._names:
            self._names[key] = f"p{len(self._names)}"
            self.values[self._names[key]] = value
        return f"{{{self._names[key]}:{type_}}}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in a row: expressions for each type that it may have. `items` is the JSON text of each item of a list, []
    where `is_list` denies that it is one."""

    text: str = "CAST(NULL AS Nullable(String))"
    number: str = "CAST(NULL AS Nullable(Float64))"
    flag: str = "CAST(NULL AS Nullable(Bool))"
    items: str = "CAST([] AS Array(String))"
    is_list: str = "0"
    present: str = "0"
    moment: str = ""
    """Of a value that is a moment by itself, milliseconds or NULL."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is tested: `now` as an expression, and the time zone of plain dates."""

    params: Params
    now: str
    tz: str


def json_cell(column: str, path: str) -> Cell:
    """The value at a path of a JSON column."""
    value = f"{column}.{quoted(path)}"
    whole = [f"toFloat64({value}.:{each})" for each in ("Int64", "UInt64")]
    is_list = f"startsWith(dynamicType({value}), 'Array')"
    return Cell(
        text=f"{value}.:String",
        number=f"coalesce({value}.:Float64, {', '.join(whole)})",
        flag=f"{value}.:Bool",
        items=f"if({is_list}, JSONExtractArrayRaw(assumeNotNull(toJSONString({value}))), [])",
        is_list=is_list,
        present=f"isNotNull({value})",
    )


def quoted(name: str) -> str:
    """As an identifier. The engine takes no parameter for one that has a quote or a backslash."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def text_cell(text: str) -> Cell:
    """The value that a JSON text holds; '' for missing."""
    kind = f"JSONType({text})"
    return Cell(
        text=f"if({kind} = 'String', JSONExtractString({text}), NULL)",
        number=f"if({kind} IN ('Int64', 'UInt64', 'Double'), JSONExtractFloat({text}), NULL)",
        flag=f"if({kind} = 'Bool', JSONExtractBool({text}), NULL)",
        items=f"if({kind} = 'Array', JSONExtractArrayRaw({text}), [])",
        is_list=f"{kind} = 'Array'",
        present=f"({text} != '' AND {kind} NOT IN ('Null', 'Object'))",
    )


def number_cell(number: str, present: str = "1") -> Cell:
    return Cell(number=f"if({present}, toFloat64({number}), NULL)", present=present)


def moment_cell(moment: str, present: str) -> Cell:
    """`moment` is in milliseconds."""
    return Cell(present=present, moment=f"if({present}, {moment}, NULL)")


def string_cell(text: str) -> Cell:
    """A column of texts, '' for missing."""
    return Cell(text=f"nullIf({text}, '')", present=f"({text} != '')")


def canonical(cell: Cell) -> str:
    """A text that is the same for equal values; of present ones only."""
    # Each is worked out for the rows of its type alone, and most are texts. Zero has two signs and is one number.
    return (
        f"assumeNotNull(multiIf(isNotNull({cell.text}), concat('s', {cell.text}),"
        f" isNotNull({cell.number}), concat('n', toString({cell.number} + 0.)),"
        f" isNotNull({cell.flag}), concat('b', toString({cell.flag})), concat('l', toString({cell.items}))))"
    )


def test(cell: Cell, wanted: Test, place: Place) -> str:
    """1 where the value meets the test, else 0."""
    op, value = wanted.op, wanted.value
    match op:
        case Op.MISSING:
            return f"(NOT {cell.present})"
        case Op.PRESENT:
            return cell.present
        case Op.OLDER:
            return _sure(f"{place.now} - {moment(cell, place)} > {_whole(value)}")
        case Op.NEWER:
            return _sure(f"{place.now} - {moment(cell, place)} <= {_whole(value)}")
    if cell.moment:
        return _of_moment(cell, wanted)
    match op:
        case Op.EQ:
            return _equals(cell, (value,), place.params)
        case Op.NE:
            return f"({cell.present} AND NOT {_equals(cell, (value,), place.params)})"
        case Op.IN:
            return _equals(cell, value, place.params)
        case Op.NOT_IN:
            return f"({cell.present} AND NOT {_equals(cell, value, place.params)})"
        case Op.GT | Op.GE | Op.LT | Op.LE:
            return _ordered(cell, _ORDERED[op], value, place.params)
        case Op.BETWEEN:
            low, high = (
                _ordered(cell, sign, bound, place.params) for sign, bound in zip((">=", "<="), value, strict=True)
            )
            return f"({low} AND {high})"
        case Op.CONTAINS:
            return _contains(cell, value, place.params)
        case Op.STARTS:
            return _sure(f"startsWith({cell.text}, {place.params.bind(value, 'String')})")
        case Op.MATCHES:
            return _sure(f"match({cell.text}, {place.params.bind(pattern_of(value), 'String')})")
    raise NotImplementedError(op)


def compare(cell: Cell, op: Op, other: Cell) -> str:
    """1 where two values are present and compare so."""
    alike = [_sure(f"{one} = {two}") for one, two in _alike(cell, other, "text", "number", "flag")]
    same = f"({' OR '.join([*alike, f'({cell.is_list} AND {other.is_list} AND {cell.items} = {other.items})'])})"
    match op:
        case Op.EQ:
            return same
        case Op.NE:
            return f"({cell.present} AND {other.present} AND NOT {same})"
        case Op.GT | Op.GE | Op.LT | Op.LE:
            sign = _ORDERED[op]
            pairs = _alike(cell, other, "text", "number")
            return f"({' OR '.join(_sure(f'{one} {sign} {two}') for one, two in pairs)})"
        case Op.STARTS:
            return _sure(f"startsWith({cell.text}, {other.text})")
        case Op.CONTAINS:
            items = [f"arrayExists(each -> {_item_is(f'{other.text}', 'text')}, {cell.items})"]
            items += [f"arrayExists(each -> {_item_is(f'{other.number}', 'number')}, {cell.items})"]
            items += [f"arrayExists(each -> {_item_is(f'{other.flag}', 'flag')}, {cell.items})"]
            within = _sure(f"position({cell.text}, {other.text}) > 0")
            return f"({' OR '.join([within, *items])})"
    raise NotImplementedError(op)


def _alike(cell: Cell, other: Cell, *types: str) -> list[tuple[str, str]]:
    """The expressions of both for each of these types, and for moments where both are some."""
    moments = [(cell.moment, other.moment)] if cell.moment and other.moment else []
    return moments + [(getattr(cell, each), getattr(other, each)) for each in types]


def moment(cell: Cell, place: Place) -> str:
    """The moment that the value is, in milliseconds, NULL where it is none."""
    if cell.moment:
        return cell.moment
    tz = place.params.bind(place.tz, "String")
    said = f"assumeNotNull({cell.text})"
    # Of small letters, which RFC 3339 allows, the engine makes nothing.
    whole = f"if(length({said}) = 10, concat({said}, 'T00:00:00'), upper({said}))"
    parsed = f"toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull({whole}, 3, {tz}))"
    number = f"if(abs({cell.number}) <= {_FURTHEST}, toInt64(floor(assumeNotNull({cell.number}))), NULL)"
    return f"if(ifNull(match({cell.text}, '{_RFC3339}'), 0), {parsed}, {number})"


def flips_by_age(cell: Cell, wanted: Test, place: Place) -> str:
    """When the test of a moment's age changes, in milliseconds."""
    if wanted.op not in (Op.OLDER, Op.NEWER):
        return str(NEVER)
    at = f"{moment(cell, place)} + {_whole(wanted.value) + 1}"
    return f"if(ifNull({at} > {place.now}, 0), assumeNotNull({at}), {NEVER})"


def pattern_of(wanted: str) -> str:
    """As the engine takes it, in which without the flag a dot means a line break too.

    It first searches for a text that each match must hold, and of `京*` takes only the last byte to be optional. Where
    there is something else to match, which nothing does, it does not.
    """
    return rf"(?-s:{wanted})|[^\s\S]"


def _of_moment(cell: Cell, wanted: Test) -> str:
    """A moment against others, which the definition holds in milliseconds."""
    at, value = cell.moment, wanted.value
    match wanted.op:
        case Op.EQ:
            return _sure(f"{at} = {_whole(value)}")
        case Op.NE:
            return _sure(f"{at} != {_whole(value)}")
        case Op.IN | Op.NOT_IN:
            inside = f"{at} IN ({', '.join(str(_whole(each)) for each in value)})"
            return _sure(inside if wanted.op is Op.IN else f"NOT {inside}")
        case Op.GT | Op.GE | Op.LT | Op.LE:
            return _sure(f"{at} {_ORDERED[wanted.op]} {_whole(value)}")
        case Op.BETWEEN:
            return _sure(f"{at} >= {_whole(value[0])} AND {at} <= {_whole(value[1])}")
    return "0"


def _whole(value: Millis) -> int:
    """Only a number of ours enters the text."""
    return int(value)


def _sure(condition: str) -> str:
    return f"ifNull({condition}, 0)"


def _equals(cell: Cell, values: Sequence[Any], params: Params) -> str:
    texts = [each for each in values if isinstance(each, str)]
    flags = [each for each in values if isinstance(each, bool)]
    numbers = [float(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    found = []
    if texts:
        found.append(_among(cell.text, texts, "String", params))
    if numbers:
        found.append(_among(cell.number, numbers, "Float64", params))
    found += [_sure(f"{cell.flag} = {'true' if each else 'false'}") for each in flags]
    return f"({' OR '.join(found) or '0'})"


def _among(value: str, wanted: Sequence[Any], type_: str, params: Params) -> str:
    if len(wanted) == 1:
        return _sure(f"{value} = {params.bind(wanted[0], type_)}")
    if type_ == "Float64":
        # A set of numbers holds both zeros apart.
        value, wanted = f"{value} + 0.", [each + 0.0 for each in wanted]
    found = [f"{value} IN {params.bind(some, f'Array({type_})')}" for some in portions(wanted)]
    return _sure(found[0] if len(found) == 1 else f"({' OR '.join(found)})")


def portions(wanted: Sequence[Any]) -> Iterator[list[Any]]:
    """Lists of which each is short enough for one parameter."""
    some: list[Any] = []
    size = 0
    for each in wanted:
        own = len(repr(each).encode()) + 2
        if some and size + own > PARAMETER:
            yield some
            some, size = [], 0
        some.append(each)
        size += own
    yield some


def _ordered(cell: Cell, sign: str, value: Any, params: Params) -> str:
    if isinstance(value, str):
        return _sure(f"{cell.text} {sign} {params.bind(value, 'String')}")
    if isinstance(value, bool) or not math.isfinite(value):
        return "0"
    return _sure(f"{cell.number} {sign} {params.bind(float(value), 'Float64')}")


def _contains(cell: Cell, value: Any, params: Params) -> str:
    if isinstance(value, bool):
        return f"arrayExists(each -> {_item_is('true' if value else 'false', 'flag')}, {cell.items})"
    if isinstance(value, str):
        wanted = params.bind(value, "String")
        return (
            f"({_sure(f'position({cell.text}, {wanted}) > 0')}"
            f" OR arrayExists(each -> {_item_is(wanted, 'text')}, {cell.items}))"
        )
    wanted = params.bind(float(value), "Float64")
    return f"arrayExists(each -> {_item_is(wanted, 'number')}, {cell.items})"


def _item_is(wanted: str, kind: str) -> str:
    return _sure(f"{getattr(text_cell('each'), kind)} = {wanted}")
