"""The fold of trait rows: hand-worked cases, and what no order of arrival may change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.model import Operation, SetId
from profiles.store import TraitRow
from profiles.traits import Trait, fold


def row(
    at: int, operation: Operation, name: str, value: Any = None, *, event: str = "e", order: int = 0, set_: int = 1
) -> TraitRow:
    return TraitRow(SetId(set_), f"{event}{at}", order, operation, name, json.dumps(value), "site", at)


def values(rows: list[TraitRow], *, until: int | None = None) -> dict[str, Any]:
    return {name: trait.value for name, trait in fold(rows, until=until).items()}


SET, ONCE, ADD, APPEND, UNSET, DELETE = (
    Operation.SET,
    Operation.SET_ONCE,
    Operation.INCREMENT,
    Operation.APPEND,
    Operation.UNSET,
    Operation.DELETE,
)


def test_the_last_writer_by_event_time_wins_and_names_its_source_and_moment() -> None:
    assert fold([row(2, SET, "city", "北京"), row(1, SET, "city", "上海")]) == {"city": Trait("北京", "site", 2)}


def test_writers_of_one_moment_are_ordered_by_event_and_then_by_place() -> None:
    first, second, third = (
        row(1, SET, "city", "first", event="a", order=1),
        row(1, SET, "city", "second", event="b", order=0),
        row(1, SET, "city", "third", event="b", order=1),
    )
    assert values([third, first, second]) == {"city": "third"}
    assert values([second, first]) == {"city": "second"}


def test_set_once_keeps_the_first_value_whoever_wrote_it() -> None:
    assert values([row(2, ONCE, "channel", "b"), row(1, ONCE, "channel", "a")]) == {"channel": "a"}
    assert values([row(1, SET, "channel", "a"), row(2, ONCE, "channel", "b")]) == {"channel": "a"}
    assert values([row(1, ONCE, "channel", "a"), row(2, SET, "channel", "b")]) == {"channel": "b"}


def test_increments_add_up_over_all_sets_of_a_person() -> None:
    assert values([row(1, ADD, "visits", 2, set_=1), row(2, ADD, "visits", 3, set_=2)]) == {"visits": 5}
    assert values([row(1, SET, "visits", 10), row(2, ADD, "visits", -1)]) == {"visits": 9}


@pytest.mark.parametrize("before", ["text", True, None, [1]])
def test_an_increment_of_what_is_no_number_starts_at_zero(before: Any) -> None:
    assert values([row(1, SET, "n", before), row(2, ADD, "n", 4)]) == {"n": 4}


def test_append_takes_one_value_or_a_list() -> None:
    assert values([row(1, APPEND, "likes", "X9"), row(2, APPEND, "likes", ["G6", "P7"])]) == {
        "likes": ["X9", "G6", "P7"]
    }
    assert values([row(1, SET, "likes", "X9"), row(2, APPEND, "likes", "G6")]) == {"likes": ["X9", "G6"]}


def test_unset_removes_one_trait_and_delete_all_that_came_before() -> None:
    rows = [row(1, SET, "a", 1), row(2, SET, "b", 2), row(3, UNSET, "a"), row(5, SET, "c", 3)]
    assert values(rows) == {"b": 2, "c": 3}
    assert values([*rows, row(4, DELETE, "")]) == {"c": 3}
    assert values([row(1, UNSET, "never set")]) == {}


def test_what_was_known_on_a_day_is_the_fold_up_to_that_day() -> None:
    rows = [row(1, SET, "city", "上海"), row(5, SET, "city", "北京")]
    assert [values(rows, until=day) for day in (0, 1, 4, 5)] == [
        {},
        {"city": "上海"},
        {"city": "上海"},
        {"city": "北京"},
    ]


operations = st.sampled_from([SET, ONCE, ADD, APPEND, UNSET, DELETE])
facts = st.lists(
    st.builds(
        lambda at, event, operation, name, value, set_: row(at, operation, name, value, event=event, set_=set_),
        st.integers(0, 20),
        st.sampled_from("xyz"),
        operations,
        st.sampled_from("ab"),
        st.one_of(st.integers(-9, 9), st.text(max_size=2)),
        st.integers(1, 3),
    ),
    max_size=30,
    unique_by=lambda one: (one.occurred_at, one.event, one.order),
)


@given(facts, st.randoms())
def test_neither_the_order_of_rows_nor_their_repetition_changes_a_trait(rows: list[TraitRow], random: Any) -> None:
    shuffled = [*rows, *rows[: len(rows) // 2]]
    random.shuffle(shuffled)
    assert fold(shuffled) == fold(rows)


@given(facts)
def test_a_merge_is_the_fold_of_all_rows_and_its_undo_gives_back_the_parts(rows: list[TraitRow]) -> None:
    one, other = [r for r in rows if r.set == 1], [r for r in rows if r.set != 1]
    before = fold(one)
    assert fold([*other, *one]) == fold(rows)
    assert fold([r for r in rows if r.set == 1]) == before
    if all(r.operation == ADD and r.value.lstrip("-").isdecimal() for r in rows):
        merged, parts = values(rows), (values(one), values(other))
        assert merged == {n: sum(part.get(n, 0) for part in parts) for n in merged}


@given(facts, st.integers(0, 20))
def test_a_fold_until_a_day_never_looks_at_later_rows(rows: list[TraitRow], day: int) -> None:
    assert fold(rows, until=day) == fold([r for r in rows if r.occurred_at <= day])
