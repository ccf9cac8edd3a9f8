"""No personal value gets into a definition, and none that somebody may not see is told about what is known."""

from __future__ import annotations

from typing import Any

import pytest

from segments.catalogue import VALUES, _Values
from segments.faults import MalformedSegment
from segments.language import parse
from segments.personal import personal_kinds, refuse_personal
from tests.segments.examples import TZ, person, refusal

PHONE = "13812345678"


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"attr": "city", "op": "=", "value": PHONE}, "where.value"),
        ({"attr": "city", "op": "=", "value": int(PHONE)}, "where.value"),
        ({"attr": "city", "op": "not_in", "value": ["成都", "li@example.com"]}, "where.value[1]"),
        ({"attr": "city", "op": "in", "value": [1, float(PHONE)]}, "where.value[1]"),
        ({"attr": "city", "op": "matches", "value": rf"^\+86{PHONE}$"}, "where.value"),
        ({"did": "a", "where": {"prop": "note", "op": "contains", "value": f"请打 {PHONE}"}}, "where.where.value"),
        ({"did": "a", "agg": {"fn": "last", "of": "x"}, "op": "in", "value": [1, int(PHONE)]}, "where.value[1]"),
        ({"did": "a", "agg": {"fn": "max", "of": "x"}, "op": ">=", "value": int(PHONE)}, "where.value"),
        ({"did": f"called {PHONE}"}, "where.did"),
        (
            {"any": [{"all": [{"attr": "x", "op": "=", "value": "１３８１２３４５６７８"}]}]},
            "where.any[0].all[0].value",
        ),
        ({"did": "a", PHONE: 1}, "where"),
        ({"in": PHONE}, "where.in"),
        ({"sample": {"salt": "11010519491231002X", "from": 0, "to": 1}}, "where.sample.salt"),
    ],
)
def test_a_personal_value_is_refused_where_it_stands_and_not_repeated(where: Any, path: str) -> None:
    with pytest.raises(MalformedSegment) as refused:
        refuse_personal(person(where))
    [fault] = refused.value.faults
    assert fault.path == path
    assert "example.com" not in str(fault)
    assert PHONE not in str(fault) + str(refused.value)


@pytest.mark.parametrize(
    "where",
    [
        {"in": f"sg_a{PHONE}abcd"},
        {"did": "paid", "agg": {"fn": "sum", "of": "amount"}, "op": ">", "value": int(PHONE)},
        {"attr": "order", "op": "=", "value": "138123456789"},
        {"attr": "seen", "op": "older_than", "value": "P3660D"},
        {"did": "a", "window": {"from": "2026-03-01T10:00:00.123456789+08:00"}},
        {"attr": "phone", "op": "matches", "value": r"1[3-9]\d{9}"},
    ],
)
def test_what_only_looks_a_little_like_one_is_taken(where: Any) -> None:
    refuse_personal(person(where))


def test_each_kind_in_a_text_is_named_once() -> None:
    assert personal_kinds(f"{PHONE} {PHONE} a@example.com") == ["email", "phone"]


@pytest.mark.parametrize("name", ["phone", "email", "profile.id_card", "VIN", "plate"])
def test_of_what_is_kept_as_a_token_may_only_be_asked_whether_it_is_there(name: str) -> None:
    def asking(**test: Any) -> list[dict[str, Any]]:
        inside = {"did": "a", "where": {"prop": name} | test}
        return [{"attr": name} | test, inside, {"did": "a", "agg": {"fn": "last", "of": name}} | test]

    for where in (*asking(op="missing"), *asking(op="present")):
        parse(person(where), tz=TZ)
    for where in (*asking(op="=", value="x"), *asking(op="starts", value="+86"), *asking(op="in", value=["x"])):
        assert "an op for a personal value: one of missing, present" in refusal(where)[1]


def test_different_tokens_may_be_counted() -> None:
    parse(person({"did": "a", "agg": {"fn": "distinct", "of": "phone"}, "op": ">=", "value": 2}), tz=TZ)


@pytest.mark.parametrize("name", ["name", "$name", "real_name", "手机号", "contact.mobile", "微信", "address", "email"])
def test_values_that_say_who_somebody_is_are_not_told(name: str) -> None:
    values = _Values()
    values.add(name, ["String"], ["张三"], 200)
    assert (values.seen().values, values.seen().complete) == (frozenset(), False)


def test_values_are_told_until_a_token_is_among_them() -> None:
    values = _Values()
    values.add("city", ["String"], ["成都"], 3)
    assert (values.seen().values, values.seen().complete, values.seen().count) == (frozenset({"成都"}), True, 3)
    values.add("city", ["String"], ["call ⟦phone:V8ES⟧"], 1)
    values.add("city", ["String"], ["成都"], 1)
    assert (values.seen().values, values.seen().complete) == (frozenset(), False)


def test_a_list_with_too_many_values_is_no_list_to_choose_from() -> None:
    values = _Values()
    values.add("model", ["String"], [str(each) for each in range(VALUES + 1)], 100)
    assert not values.seen().complete
