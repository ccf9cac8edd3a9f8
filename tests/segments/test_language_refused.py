"""What is wrong with a definition is told all at once, each in its place, with what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from segments.faults import MalformedSegment
from segments.language import parse
from tests.segments.examples import FIRST_SERVICE, TZ, person, refusal, refusals


def test_all_faults_are_told_at_once_and_in_place() -> None:
    document = {
        "v": 2,
        "entity": "person",
        "wher": 1,
        "where": {
            "all": [
                {"atr": "city"},
                {"attr": "city", "op": "==", "value": 3},
                {"did": "a", "window": {"last": "P1M"}, "agg": {"fn": "average"}},
                {"any": []},
            ]
        },
    }
    assert [each.path for each in refusals(document)] == [
        "wher",
        "v",
        "where.all[0]",
        "where.all[1].op",
        "where.all[2].window.last",
        "where.all[2].agg.fn",
        "where.all[3].any",
    ]


def test_the_answer_to_a_caller_names_the_places() -> None:
    with pytest.raises(MalformedSegment) as refused:
        parse(person({"atr": "city", "op": "present"}), tz=TZ)
    assert refused.value.status == 422
    assert refused.value.errors == [
        {
            "path": "where",
            "expected": "one of absent, attr, did, seq, in, rel, sample, all, any, not",
            "got": 'the field "atr"',
            "help": "Did you mean attr?",
        }
    ]


ATTR = {"attr": "a", "op": "=", "value": 1}
ANY = {"did": "a"}


@pytest.mark.parametrize(
    ("where", "path", "says"),
    [
        ([], "where", "an object with one of"),
        ({}, "where", "an empty object"),
        ({"did": "a", "in": "b"}, "where", "did and in"),
        ({"did": "a", "windw": {"last": "P1D"}}, "where.windw", "Did you mean window?"),
        ({"attr": "a"}, "where.op", "required"),
        ({"attr": "a", "pp": "present"}, "where.pp", ""),
        ({"attr": "", "op": "present"}, "where.attr", "1 to 500"),
        ({"attr": "a" * 501, "op": "present"}, "where.attr", "501 characters"),
        ({**ATTR, "value": None}, "where.value", "the op missing"),
        ({**ATTR, "value": [1]}, "where.value", "the op in"),
        ({**ATTR, "value": {"a": 1}}, "where.value", "one plain value"),
        ({"attr": "a", "op": "="}, "where.op", "Add the field value"),
        ({**ATTR, "op": "in"}, "where.value", "a list"),
        ({**ATTR, "op": "in", "value": []}, "where.value", "at least 1"),
        ({**ATTR, "op": "in", "value": list(range(1_001))}, "where.value", "1,001"),
        ({**ATTR, "op": "between", "value": [1]}, "where.value", "at least 2"),
        ({**ATTR, "op": "between", "value": [1, "2"]}, "where.value", "two numbers or two texts"),
        ({**ATTR, "op": ">", "value": True}, "where.value", "no order"),
        ({**ATTR, "op": "starts"}, "where.value", "a text"),
        ({**ATTR, "op": "missing"}, "where.value", "no value"),
        ({**ATTR, "op": "anniversary"}, "where.op", "waits until vehicles exist"),
        ({**ATTR, "op": "older_than", "value": "P1Y"}, "where.value", "calendar windows"),
        ({**ATTR, "op": "newer_than", "value": "P3661D"}, "where.value", "3,660 days"),
        ({**ATTR, "ref": "b"}, "where.ref", "either value or ref"),
        ({"attr": "a", "op": "in", "ref": "b"}, "where.op", "compares with a ref"),
        ({"attr": "$first_seen", "op": "contains", "value": "2026"}, "where.op", "for a moment"),
        ({"attr": "$last_seen", "op": ">", "value": 5}, "where.value", "2026-03-01"),
        ({"did": "a", "where": {"attr": "city", "op": "present"}}, "where.where", "beside the event condition"),
        ({"did": "a", "where": {"prop": "$pge.path", "op": "present"}}, "where.where.prop", "$page.path"),
        ({"did": []}, "where.did", "at least 1"),
        ({"did": ["*", "a"]}, "where.did[0]", "stands alone"),
        ({"did": 3}, "where.did", "name of an event"),
        ({"did": "a", "op": ">="}, "where.op", "Add the field value"),
        ({"did": "a", "value": 3}, "where.value", "an op beside"),
        ({"did": "a", "op": ">=", "value": 10_001}, "where.value", "10,000"),
        ({"did": "a", "op": ">=", "value": 1.5}, "where.value", "whole number"),
        ({"did": "a", "op": "starts", "value": "x"}, "where.op", "for a count"),
        ({"did": "a", "op": "missing"}, "where.op", "for a count"),
        ({"did": "a", "agg": {"fn": "sum"}, "op": ">", "value": 1}, "where.agg", "Add the field of"),
        ({"did": "a", "agg": {"fn": "count", "of": "x"}}, "where.agg.of", "no of beside count"),
        ({"did": "a", "agg": {"fn": "avg", "of": "x"}}, "where", "an op and a value beside avg"),
        ({"did": "a", "agg": {"fn": "avg", "of": "x"}, "op": "=", "value": "x"}, "where.value", "a number"),
        ({"did": "a", "agg": {"fn": "nth"}, "op": "present"}, "where.agg", "Add the field n"),
        ({"did": "a", "agg": {"fn": "nth", "n": 0}, "op": "present"}, "where.agg.n", "from 1"),
        (
            {"did": "a", "agg": {"fn": "distinct_periods", "period": "dy"}, "op": "=", "value": 1},
            "where.agg.period",
            "",
        ),
        ({"did": "a", "agg": {"fn": "since_last"}, "op": "=", "value": "2026-01-01"}, "where.op", "older_than"),
        ({"did": "a", "agg": {"fn": "any"}}, "where.agg.fn", "avg"),
        ({**ANY, "window": {"last": "PT0S"}}, "where.window.last", "longer than 0"),
        ({**ANY, "window": {"last": "P1D", "until": "P1D"}}, "where.window.until", "shorter than last"),
        ({**ANY, "window": {"calendar": "month", "back": 1, "count": 3}}, "where.window.count", "from 1 to 2"),
        ({**ANY, "window": {"calendar": "day", "back": 401}}, "where.window.back", "400"),
        ({**ANY, "window": {"from": "2026-13-01"}}, "where.window.from", "a moment such as"),
        ({**ANY, "window": {"from": "2026-03-01T10:00:00"}}, "where.window.from", "a moment such as"),
        ({**ANY, "window": {"from": "0001-01-01"}}, "where.window.from", "a moment such as"),
        ({**ANY, "window": {"from": "2026-03-02", "to": "2026-03-01"}}, "where.window.to", "later than from"),
        ({**ANY, "window": {"since": {"attr": "a"}}}, "where.window.for", "required"),
        ({**ANY, "window": {"since": {}, "for": "P1D"}}, "where.window.since", "attr, did"),
        ({"seq": [ANY]}, "where.seq", "at least 2"),
        ({"seq": [ANY] * 9}, "where.seq", "at most 8"),
        ({"seq": [{**ANY, "gap": "PT1H"}, ANY]}, "where.seq[0]", "neither gap nor without"),
        ({"seq": [ANY, ANY], "same": list("abcdefghi")}, "where.same", "at most 8"),
        ({"absent": ANY, "after": ANY, "for": "P2D", "until": "P2D"}, "where.until", "longer than for"),
        ({"absent": {**ANY, "without": ["b"]}, "after": ANY, "for": "P2D"}, "where.absent", "neither gap"),
        ({"absent": ANY, "for": "P2D"}, "where.after", "required"),
        ({"in": "s", "for": "P1D", "as_of": "2026-01-01"}, "where", "either for or as_of"),
        ({"in": ["s"]}, "where.in", "the id of a segment"),
        ({"rel": "owned_vehicle"}, "where.rel", "waits until those objects exist"),
        ({"rel": "lead", "agg": {"fn": "any"}, "op": "=", "value": 1}, "where.op", ""),
        ({"rel": "lead", "where": {"prop": "stge", "op": "present"}}, "where.where.prop", "Did you mean stage?"),
        ({"rel": "lead", "agg": {"fn": "max", "of": "created_at"}, "op": ">", "value": 1}, "where.agg.of", "numbers"),
        ({"rel": "lead", "where": {"prop": "contact.phone", "op": "=", "value": "1"}}, "where.where.op", "personal"),
        ({"rel": "lead", "where": {"prop": "id", "op": "=", "ref": "contact.phone"}}, "where.where.ref", "contacts"),
        ({"sample": {"salt": "s", "from": 0.5, "to": 0.5}}, "where.sample", "0 <= from < to <= 1"),
        ({"sample": {"salt": "s", "from": 0}}, "where.sample.to", "required"),
    ],
)
def test_what_is_refused_is_named_with_what_would_be_right(where: Any, path: str, says: str) -> None:
    found = refusals(person(where))
    assert path in [each.path for each in found]
    assert says in " ".join(f"{each.expected}; {each.got}; {each.help}" for each in found if each.path == path)


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"entity": "vehicle"}, "entity", "wait until these objects exist"),
        ({"entity": "people"}, "entity", "person, lead"),
        ({"v": True}, "v", "the number 1"),
        ({"tz": "Asia/Shangai"}, "tz", "Did you mean Asia/Shanghai?"),
        ({"tz": "../../etc/passwd"}, "tz", "a time zone"),
        ({"tz": "America"}, "tz", "a time zone"),
        ({"universe": {"all": [{}]}}, "universe.all[0]", "an empty object"),
    ],
)
def test_what_is_refused_beside_the_condition(fields: dict[str, Any], path: str, says: str) -> None:
    [only] = refusals({**person({"all": []}), **fields})
    assert only.path == path
    assert says in f"{only.expected}; {only.got}; {only.help}"


def test_the_example_about_vehicles_waits_and_says_so() -> None:
    [only] = refusals(FIRST_SERVICE)
    assert only.path == "where.all[0].rel"
    assert "waits until those objects exist" in only.help


def test_a_lead_has_its_own_attributes_and_no_related_objects() -> None:
    def of_lead(where: Any) -> dict[str, Any]:
        return {**person(where), "entity": "lead"}

    parse(of_lead({"attr": "interest.series", "op": "present"}), tz=TZ)
    parse(of_lead({"attr": "campaign.anything", "op": "=", "value": 1}), tz=TZ)
    parse(of_lead({"attr": "created_at", "op": ">", "value": "2026-01-01"}), tz=TZ)
    assert refusals(of_lead({"attr": "city", "op": "present"}))[0].path == "where.attr"
    assert refusals(of_lead({"attr": "campaign.", "op": "present"}))[0].path == "where.attr"
    assert refusals(of_lead({"attr": "contact.email", "op": "=", "value": "x"}))[0].path == "where.op"
    since = {"since": {"attr": "contact.phone"}, "for": "P1D"}
    assert refusals(of_lead({"did": "a", "window": since}))[0].path == "where.window.since.attr"
    assert refusals(of_lead({"rel": "lead"}))[0].expected == "no rel"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"a(?=b)", "look-around"),
        (r"(?<!a)b", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(?P<x>a)", "named groups"),
        ("(a", "not closed"),
        ("a)", "closes nothing"),
        ("*a", "nothing that can be repeated"),
        ("a**", "nothing that can be repeated"),
        ("[z-a]", "backwards"),
        ("[]", "cannot be read"),
        ("((a{100}){100}){100}", "repeats"),
        ("a{1001}", "repeats"),
        ("\\", "cannot be read"),
        ("(" * 250, "not closed"),
    ],
)
def test_a_pattern_that_the_engine_would_refuse_is_refused_before(pattern: str, says: str) -> None:
    path, told = refusal({"attr": "a", "op": "matches", "value": pattern})
    assert path == "where.value"
    assert says in told
