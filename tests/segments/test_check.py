"""A segment is held against what is known: slips are errors with a suggestion, what may still come is a warning."""

from __future__ import annotations

from typing import Any

import pytest

from segments.check import MANY, Checked, check
from segments.known import Known, KnownSegment, Seen
from segments.language import parse
from segments.templates import templates
from tests.segments.examples import TAKEN, TZ, person

TEXT = frozenset({"string"})
NUMBER = frozenset({"number"})


def often(types: frozenset[str], values: frozenset[str] = frozenset(), *, complete: bool = False) -> Seen:
    return Seen(types, values, complete, count=MANY)


CITIES = often(TEXT, frozenset({"成都", "重庆", "北京", "2026"}), complete=True)
KNOWN = Known(
    attributes={"city": CITIES, "age": often(NUMBER), "car": often(frozenset({"object"}))},
    of_leads={"stage": often(TEXT, frozenset({"new", "lost"}), complete=True)},
    events={
        "model_page_viewed": {
            "model_id": often(TEXT, frozenset(map(str, range(51))), complete=True),
            "stay_seconds": often(NUMBER),
            "tags": often(frozenset({"list"})),
            "colour": often(TEXT, frozenset({"red"}), complete=False),
            "page": often(frozenset({"object"})),
        },
        "lead_submitted": {"channel": Seen(TEXT), "model_id": Seen(NUMBER, count=3)},
    },
    segments={
        "owners": KnownSegment("车主", parse(person({"attr": "city", "op": "present"}), tz=TZ)),
        "lost": KnownSegment("战败", parse({"v": 1, "entity": "lead", "where": {"all": []}}, tz=TZ)),
    },
)


def checked(where: Any, *, entity: str = "person", known: Known = KNOWN, segment: str = "") -> Checked:
    return check(parse({"v": 1, "entity": entity, "where": where}, tz=TZ), known, segment=segment)


def errors(where: Any, **more: Any) -> list[tuple[str, str]]:
    return [(fault.path, fault.help) for fault in checked(where, **more).errors]


def warnings(where: Any, **more: Any) -> list[tuple[str, str]]:
    return [(fault.path, fault.got) for fault in checked(where, **more).warnings]


def viewed(prop: str, op: str, value: Any = None) -> dict[str, Any]:
    test = {"op": op} if value is None else {"op": op, "value": value}
    return {"did": "model_page_viewed", "where": {"prop": prop, **test}}


def test_what_is_known_passes() -> None:
    where = {
        "all": [
            {"attr": "city", "op": "in", "value": ["成都", "重庆"]},
            {"attr": "$last_seen", "op": "newer_than", "value": "P7D"},
            {"attr": "$events", "op": ">", "value": 3},
            viewed("page.colour", "=", "red"),
            viewed("stay_seconds", ">=", 10),
            viewed("colour", "=", "blue"),
            viewed("tags", "contains", 7),
            viewed("$page.path", "starts", "/cars"),
            {"in": "owners"},
            {"rel": "lead", "where": {"prop": "status", "op": "=", "value": "lost"}},
        ]
    }
    assert checked(where) == Checked((), ())


@pytest.mark.parametrize(
    ("where", "path", "help_"),
    [
        ({"attr": "citty", "op": "present"}, "where.attr", "Did you mean city?"),
        ({"attr": "$frist_seen", "op": "present"}, "where.attr", "Did you mean $first_seen?"),
        ({"attr": "city", "op": "=", "ref": "agee"}, "where.ref", "Did you mean age?"),
        (viewed("modle_id", "present"), "where.where.prop", "Did you mean model_id?"),
        ({"attr": "car.colour", "op": "present"}, "where.attr", "whole trait, here car"),
    ],
)
def test_a_slip_in_a_name_is_an_error_with_a_suggestion(where: Any, path: str, help_: str) -> None:
    [(at, advice)] = errors(where)
    assert at == path
    assert help_ in advice


@pytest.mark.parametrize(
    ("where", "path", "help_"),
    [
        ({"attr": "delivered_at", "op": "older_than", "value": "P1D"}, "where.attr", "Traits of persons"),
        (viewed("channel", "present"), "where.where.prop", "The property belongs to lead_submitted."),
        ({"did": "model_page_viewed", "agg": {"fn": "sum", "of": "stay"}, "op": ">", "value": 1}, "where.agg.of", ""),
        (
            {"seq": [{"did": "model_page_viewed"}, {"did": "lead_submitted"}], "same": ["stay_seconds"]},
            "where.same[0]",
            "The property belongs to model_page_viewed.",
        ),
        (
            {"did": "lead_submitted", "window": {"since": {"attr": "birth"}, "for": "P1D"}},
            "where.window.since.attr",
            "",
        ),
    ],
)
def test_a_name_like_none_that_is_known_is_a_warning_as_it_may_yet_come(where: Any, path: str, help_: str) -> None:
    found = checked(where)
    assert not found.errors
    [fault] = found.warnings
    assert fault.path == path
    assert help_ in fault.help


@pytest.mark.parametrize(
    ("where", "path", "help_"),
    [
        ({"attr": "city", "op": "in", "value": ["成都", "重庆市"]}, "where.value[1]", "重庆"),
        ({"rel": "lead", "where": {"prop": "status", "op": "=", "value": "lsot"}}, "where.where.value", "lost"),
    ],
)
def test_a_value_that_resembles_one_of_a_short_complete_list_is_an_error(where: Any, path: str, help_: str) -> None:
    [(at, advice)] = errors(where)
    assert at == path
    assert help_ in advice


def test_a_value_like_none_of_a_short_complete_list_is_a_warning_as_it_may_yet_come() -> None:
    found = checked({"attr": "city", "op": "=", "value": "南京"})
    assert not found.errors
    assert [each.help for each in found.warnings] == ["So far there are: 2026, 北京, 成都, 重庆."]


def test_the_next_of_a_series_is_no_slip() -> None:
    assert not checked({"attr": "city", "op": "=", "value": "2027"}).errors


def test_what_came_a_few_times_may_yet_come_otherwise() -> None:
    few = Known(attributes={"city": Seen(TEXT, frozenset({"重庆"}), complete=True, count=MANY - 1)})
    for value in ("重庆市", 3):
        found = checked({"attr": "city", "op": "=", "value": value}, known=few)
        assert (found.errors, [each.path for each in found.warnings]) == ((), ["where.value"])


def test_the_same_fault_is_told_once() -> None:
    seq = {"seq": [{"did": "model_page_viewed"}] * 2, "same": ["modle_id"]}
    assert len(errors(seq)) == 1


def test_a_value_of_a_long_or_open_list_is_taken() -> None:
    assert errors(viewed("model_id", "=", "new-model")) == []
    assert errors(viewed("colour", "=", "blue")) == []


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"attr": "city", "op": ">", "value": 3}, "where.value"),
        ({"attr": "age", "op": "=", "value": "30"}, "where.value"),
        ({"attr": "age", "op": "between", "value": ["a", "b"]}, "where.value[0]"),
        ({"attr": "age", "op": "matches", "value": "3"}, "where.value"),
        (viewed("tags", "=", True), "where.where.value"),
        ({"did": "model_page_viewed", "agg": {"fn": "avg", "of": "model_id"}, "op": ">", "value": 1}, "where.agg.of"),
        (
            {"did": "model_page_viewed", "agg": {"fn": "first", "of": "model_id"}, "op": "=", "value": 1},
            "where.value",
        ),
        ({"attr": "$events", "op": "=", "value": "many"}, "where.value"),
    ],
)
def test_a_comparison_that_no_value_ever_fits_is_an_error(where: Any, path: str) -> None:
    assert path in [at for at, _ in errors(where)]


def test_of_several_events_the_property_may_be_of_any_type_that_one_has() -> None:
    both = ["model_page_viewed", "lead_submitted"]
    assert errors({"did": both, "where": {"prop": "model_id", "op": ">", "value": 3}}) == []
    assert errors({"did": "*", "where": {"prop": "channel", "op": "=", "value": "x"}}) == []
    assert errors({"did": "*", "where": {"prop": "chanel", "op": "=", "value": "x"}})[0][1] == "Did you mean channel?"


def test_an_event_that_never_came_is_a_warning_and_its_properties_are_not_checked() -> None:
    where = {"did": "model_page_veiwed", "where": {"prop": "anything", "op": ">", "value": 3}}
    found = checked(where)
    assert not found.errors
    assert [(fault.path, fault.help) for fault in found.warnings] == [("where.did", "Did you mean model_page_viewed?")]


def test_every_place_that_names_an_event_is_looked_at() -> None:
    seq = {"seq": [{"did": "a"}, {"did": ["lead_submitted", "b"], "without": ["c"]}]}
    absent = {"after": {"did": "d"}, "absent": {"did": "e"}, "for": "P1D"}
    since = {"did": "*", "window": {"since": {"did": "f"}, "for": "P1D"}}
    assert warnings({"all": [seq, absent, since]}) == [
        ("where.all[0].seq[0].did", "a"),
        ("where.all[0].seq[1].did[1]", "b"),
        ("where.all[0].seq[1].without", "c"),
        ("where.all[1].after.did", "d"),
        ("where.all[1].absent.did", "e"),
        ("where.all[2].window.since.did", "f"),
    ]


def age(op: str, value: Any) -> dict[str, Any]:
    return {"attr": "age", "op": op, "value": value}


def submitted(op: str, count: int) -> dict[str, Any]:
    return {"did": "lead_submitted", "op": op, "value": count}


ALWAYS, NEVER = "the segment is always true", "the segment is never true"
PART_NEVER = "this part is never true"
IN_CITY = {"attr": "city", "op": "=", "value": "成都"}
TWICE = {"all": [viewed("stay_seconds", ">", 1), viewed("stay_seconds", ">", 1)]}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"all": []}, [("where", ALWAYS)]),
        ({"not": {"all": []}}, [("where.not", "this part is always true"), ("where", NEVER)]),
        ({"attr": "age", "op": "between", "value": [40, 30]}, [("where", NEVER)]),
        ({"all": [IN_CITY, {"not": {"not": {"not": IN_CITY}}}]}, [("where", NEVER)]),
        ({"any": [{"all": [IN_CITY]}, {"not": IN_CITY}]}, [("where", ALWAYS)]),
        ({"any": [IN_CITY, {"attr": "age", "op": "between", "value": [2, 1]}]}, [("where.any[1]", PART_NEVER)]),
        ({"did": "lead_submitted", "op": "<", "value": 0}, [("where", NEVER)]),
        ({"did": "lead_submitted", "op": ">=", "value": 0}, [("where", ALWAYS)]),
        ({"did": "lead_submitted", "op": "!=", "value": -1}, [("where", ALWAYS)]),
        ({"did": "lead_submitted", "op": "between", "value": [3, 2]}, [("where", NEVER)]),
        (
            {"did": "lead_submitted", "where": {"prop": "model_id", "op": "between", "value": [2, 1]}, "op": "<="}
            | {"value": 2},
            [("where.where", PART_NEVER), ("where", ALWAYS)],
        ),
        (
            {
                "after": {"did": "lead_submitted", "where": {"not": {"all": []}}},
                "absent": {"did": "lead_submitted"},
                "for": "P1D",
            },
            [("where.after.where.not", "this part is always true"), ("where", NEVER)],
        ),
        ({"all": [age(">=", 3), age("<", 2)]}, [("where", NEVER)]),
        ({"all": [age(">", 2), {"not": {"attr": "city", "op": "present"}}, age("=", 2)]}, [("where", NEVER)]),
        ({"all": [age("<=", 2), age("between", [3, 4])]}, [("where", NEVER)]),
        ({"any": [submitted(">=", 1), submitted("=", 0)]}, [("where", ALWAYS)]),
        ({"all": [submitted(">", 1), submitted("<", 2)]}, [("where", NEVER)]),
        (
            {"did": "lead_submitted", "where": {"all": [{"prop": "model_id", "op": op, "value": 3} for op in "<>"]}},
            [("where.where", PART_NEVER), ("where", NEVER)],
        ),
        ({"all": [age(">", 1), age("<", 2)]}, []),
        ({"any": [age(">=", 3), age("<", 3)]}, []),
        ({"all": [submitted(">", 1), submitted("<", 3)]}, []),
        (TWICE, []),
        ({"did": "lead_submitted", "op": "<=", "value": 0}, []),
        ({"all": [IN_CITY, {"attr": "city", "op": "!=", "value": "成都"}]}, []),
    ],
)
def test_what_is_always_or_never_true_is_a_warning(where: Any, found: list[tuple[str, str]]) -> None:
    assert warnings(where) == found
    assert errors(where) == []


def segments(**wheres: Any) -> Known:
    return Known(segments={id_: KnownSegment(id_, parse(person(where), tz=TZ)) for id_, where in wheres.items()})


def test_a_segment_must_exist_and_be_about_the_same() -> None:
    assert errors({"in": "ownres"}) == [("where.in", "Did you mean owners?")]
    assert errors({"in": "车主"}) == [("where.in", "Segments go by their id: owners.")]
    assert errors({"in": "lost"}) == [("where.in", "It is about a lead; name a segment about a person.")]


def test_a_ring_of_segments_is_refused_and_named() -> None:
    known = segments(b={"in": "c"}, c={"all": [{"in": "d"}, {"in": "a"}]}, d={"all": []}, a={"all": []})
    [fault] = checked({"not": {"in": "b", "for": "P1D"}}, known=known, segment="a").errors
    assert (fault.path, fault.got) == ("where.not.in", "a → b → c → a")
    assert not checked({"in": "b"}, known=known, segment="e").errors


def test_a_segment_may_not_name_itself() -> None:
    [fault] = checked({"in": "a"}, known=segments(a={"all": []}), segment="a").errors
    assert fault.got == "a → a"


def test_segments_that_multiply_when_put_into_one_another_are_refused() -> None:
    doubling = {f"s{at}": {"all": [{"in": f"s{at + 1}"}] * 2} for at in range(30)}
    known = segments(**doubling, s30={"attr": "city", "op": "present"})
    [fault] = checked({"in": "s0"}, known=known).errors
    assert fault.expected.startswith("at most 256 conditions")
    assert not checked({"in": "s26"}, known=known).errors


@pytest.mark.parametrize("known", [Known(), KNOWN])
@pytest.mark.parametrize("name", templates())
def test_every_template_can_be_used_before_its_data_comes(name: str, known: Known) -> None:
    assert not check(parse(templates()[name].filled(), tz=TZ), known).errors


def test_with_nothing_known_the_examples_name_what_is_missing() -> None:
    found = check(parse(TAKEN["A"], tz=TZ), Known())
    assert [fault.path for fault in found.errors] == ["where.all[2].not.in"]
    assert [fault.path for fault in found.warnings] == [
        "where.all[0].after.did",
        "where.all[0].absent.did",
        "where.all[1].did",
        "where.all[3].attr",
    ]
