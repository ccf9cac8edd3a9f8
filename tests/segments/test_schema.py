"""The published schema takes every definition that the language takes, and speaks of the same words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given

from segments.aggregates import PERIODS
from segments.language import parse
from segments.names import Of
from segments.schema import schema
from segments.tree import Entity, Fn, Op
from segments.windows import CALENDAR_UNITS
from segments.written import as_json
from tests.segments.documents import DEFINITIONS, unhurried
from tests.segments.examples import FIRST_SERVICE, TAKEN, TZ, person

SCHEMA = schema()
TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}


def valid(value: Any, rule: Any = SCHEMA) -> bool:
    """As JSON Schema has it, for the keywords that ours uses."""
    return all(_holds(keyword, rule[keyword], value, rule) for keyword in rule)


def _holds(keyword: str, wanted: Any, value: Any, rule: Any) -> bool:
    match keyword:
        case "$ref":
            return valid(value, SCHEMA["$defs"][wanted.removeprefix("#/$defs/")])
        case "type":
            return any(_is(value, each) for each in ([wanted] if isinstance(wanted, str) else wanted))
        case "enum":
            return value in wanted
        case "const":
            return bool(value == wanted)
        case "oneOf":
            return sum(valid(value, each) for each in wanted) == 1
        case "not":
            return not valid(value, wanted)
        case "$schema" | "title" | "description" | "$defs":
            return True
        case _:
            return not isinstance(value, _APPLIES[keyword]) or _within(keyword, wanted, value, rule)


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


_APPLIES: dict[str, Any] = {
    **dict.fromkeys(("required", "additionalProperties", "properties"), dict),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems"), list),
    **dict.fromkeys(("pattern", "minLength", "maxLength"), str),
    **dict.fromkeys(("minimum", "maximum"), (int, float)),
}


def _within(keyword: str, wanted: Any, value: Any, rule: Any) -> bool:
    match keyword:
        case "required":
            return set(wanted) <= set(value)
        case "additionalProperties":
            return set(value) <= set(rule["properties"])
        case "properties":
            return all(valid(value[name], each) for name, each in wanted.items() if name in value)
        case "items":
            return all(valid(each, wanted) for each in value[len(rule.get("prefixItems", ())) :])
        case "prefixItems":
            return all(valid(each, its) for each, its in zip(value, wanted, strict=False))
        case "pattern":
            return re.search(wanted, value) is not None
        case "minItems" | "minLength":
            return len(value) >= wanted
        case "maxItems" | "maxLength":
            return len(value) <= wanted
        case "minimum":
            return bool(value >= wanted)
        case _:
            return bool(value <= wanted)


@pytest.mark.parametrize("name", TAKEN)
def test_the_examples_of_the_reference_fit(name: str) -> None:
    assert valid(TAKEN[name])


@unhurried
@given(DEFINITIONS)
def test_what_the_language_takes_fits_as_it_came_and_as_it_is_written(document: Any) -> None:
    assert valid(document)
    assert valid(as_json(parse(document, tz=TZ)))


@pytest.mark.parametrize(
    "document",
    [
        FIRST_SERVICE,
        {**person({"all": []}), "entity": "vehicle"},
        {**person({"all": []}), "extra": 1},
        person({}),
        person({"any": []}),
        person({"attr": "a", "op": "anniversary"}),
        person({"attr": "a", "op": "=", "value": 1, "ref": "b"}),
        person({"did": "a", "where": {"attr": "b", "op": "present"}}),
        person({"did": "a", "window": {"last": "P1M"}}),
        person({"seq": [{"did": "a", "gap": "PT1H"}, {"did": "b"}]}),
        person({"seq": [{"did": "a"}]}),
        person({"in": "s", "for": "P1D", "as_of": "2026-01-01"}),
    ],
)
def test_what_the_language_refuses_by_its_shape_does_not_fit(document: Any) -> None:
    assert not valid(document)


def test_it_lists_the_words_of_the_language() -> None:
    rules = SCHEMA["$defs"]
    assert SCHEMA["properties"]["entity"]["enum"] == list(Entity)
    assert rules["op"]["enum"] == list(Op)
    assert rules["agg"]["properties"]["fn"]["enum"] == list(Fn)
    assert rules["agg"]["properties"]["period"]["enum"] == list(PERIODS)
    assert rules["window"]["oneOf"][1]["properties"]["calendar"]["enum"] == list(CALENDAR_UNITS)
    assert rules["rel"]["properties"]["rel"]["enum"] == [Of.LEAD]
