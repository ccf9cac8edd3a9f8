"""The compiled query against the slow evaluator, over random histories and definitions."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, product
from types import NoneType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cdp.model import Millis
from profiles.store import NOBODY
from segments import evaluate
from segments.sql import REACHED_BY
from segments.sql_source import Scope, Sources
from segments.sql_values import Params
from segments.tree import Absent, All, Attr, Calendar, Did, Entity, Fixed, Fn, In, Op, Rel, Rolling, Sample, Seq, Since
from segments.tree import Test as Compare
from segments.verdict import Preview
from segments.walk import leaves_of
from tests.oracle.history import History
from tests.segments.compared import Heard, agrees, alone, assert_agreed, behind, flips, told
from tests.segments.histories import Case, cases
from tests.segments.store import KINDS, StoredWorlds

ALIKE = ("11849a54-3d7d-c0c1-214a-d30f894d7408", "2b6eb794-5f4d-2fbb-92a0-1a24408e0d7b")
"""Two persons whose ids have one `cityHash64`, also where something else is hashed before them."""
ABOUT = (Attr, Rel, In, Sample, Seq, Absent, *Fn, NoneType, Rolling, Calendar, Fixed, Since)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("about", ABOUT, ids=lambda each: getattr(each, "value", "") or each.__name__)
@examples(3)
@given(data=st.data())
def test_the_compiled_query_says_of_everybody_what_the_slow_evaluator_says(
    worlds: StoredWorlds, data: st.DataObject, about: type | Fn
) -> None:
    case = data.draw(cases(definitions=4, families=4, about=about))
    times = sorted(_times(case))
    assume(times)
    evaluator, now = worlds.evaluator_of(case), case.clock.now
    heard = assert_agreed(evaluator, case, case.definitions, now)
    assert_agreed(evaluator, case, case.definitions[1:3], times[len(times) // 2], by_name=True)
    soon = min(((at, n) for (n, _), (_, at) in heard.items() if at is not None), default=None)
    if soon is None:
        return
    at, n = soon
    asked = [case.definitions[n]]
    before, then = (assert_agreed(evaluator, case, asked, each, by_name=True) for each in (at - 1, at))
    if not any(now < each <= at for each in times):
        assert _members(before) == _members(heard, n), "nothing changes before it is said to"
        changed = {unit for (which, unit), (_, flip) in heard.items() if which == n and flip == at}
        assert not flips(case, case.definitions[n]) or _members(before) ^ _members(then) == changed


def _times(case: Case) -> set[int]:
    """Of all that happened and will happen."""
    return {each.event.occurred_at for each in case.world.rows} | {each["created_at"] for each in case.world.leads}


def _members(heard: Heard, n: int = 0) -> set[str]:
    return {unit for (which, unit), (member, _) in heard.items() if which == n and member}


@examples(5)
@given(case=cases(definitions=3, families=2))
def test_some_units_are_told_what_everybody_is(worlds: StoredWorlds, case: Case) -> None:
    evaluator = worlds.evaluator_of(case)
    units = sorted(case.world.histories(case.definitions[0].entity))
    asked = partial(evaluator.evaluate, case.definitions, case.clock.now, others=case.segments)
    everybody = {each.unit: each for each in asked()}
    read_alone_or_all: tuple[dict[str, int], ...] = {}, {"MANY_UNITS": 0, "ROWS_A_UNIT": sys.maxsize}
    for some, limits in product((units[:1], units[1:]), read_alone_or_all):
        with pytest.MonkeyPatch.context() as patched:
            for name, limit in limits.items():
                patched.setattr(evaluate, name, limit)
            found = {each.unit: each for each in asked(units=some)}
        assert found == {unit: said for unit, said in everybody.items() if unit in some}
    halves = chain(asked(part=("", "8")), asked(part=("8", "~")))
    assert {each.unit: each for each in halves} == everybody


@examples(5)
@given(case=cases(definitions=3, families=2))
def test_what_people_ask_agrees_with_the_slow_evaluator(worlds: StoredWorlds, case: Case) -> None:
    evaluator, now = worlds.evaluator_of(case), case.clock.now
    histories = case.world.histories(case.definitions[0].entity)
    members = [
        {unit for unit, history in histories.items() if told(case, each, history, now)[0]} for each in case.definitions
    ]
    preview = evaluator.preview(case.definitions[0], now, case.segments)
    assert (preview.count, set(preview.sample)) == (len(members[0]), members[0])
    _assert_ways(preview, case, [histories[unit] for unit in members[0]])
    regions = Counter(frozenset(n for n, some in enumerate(members) if unit in some) for unit in histories)
    regions.pop(frozenset(), None)
    assert evaluator.overlap(case.definitions, now, case.segments) == regions


def _assert_ways(preview: Preview, case: Case, members: Sequence[History]) -> None:
    """How members are reached, and which channel they came through first."""
    may = [_channels(each, case.clock.now) for each in members]
    assert sum(preview.channels.values()) == len(members)
    for channel, count in preview.channels.items():
        assert may.count({channel}) <= count <= sum(channel in each for each in may)
    kinds = [_kinds(case, each) for each in members]
    reached = {kind: sum(kind in each for each in kinds) for kind in REACHED_BY}
    assert preview.reach == reached | {"none": kinds.count(set())}


def _channels(unit: History, now: Millis) -> set[str]:
    """Of events of one millisecond any may be the first."""
    if unit.lead is not None:
        said = unit.lead.get("channel")
        return {said if isinstance(said, str) else ""}
    told = [(each.at, source) for each in unit.events if each.at <= now and (source := each.fields["campaign.source"])]
    return {source for at, source in told if at == min(told)[0]} or {""}


def _kinds(case: Case, unit: History) -> set[str]:
    """Of a person's, those of the sets that are their own now."""
    if unit.lead is not None:
        return set(unit.lead["contact"])
    own = (each for each, over in case.world.owned.items() if over[-1][1] == unit.unit)
    return {kind for each in own for kind in KINDS.get(each, ())}


@examples(10)
@given(case=cases(definitions=1))
def test_an_explanation_is_what_the_slow_evaluator_says_of_each_leaf(worlds: StoredWorlds, case: Case) -> None:
    evaluator, now, [definition] = worlds.evaluator_of(case), case.clock.now, case.definitions
    leaves = [leaf for _, leaf in leaves_of(definition)]
    histories = {unit: each for unit, each in case.world.histories(definition.entity).items() if each.exists(now)}
    preview = evaluator.preview(definition, now, case.segments)
    for n, leaf in enumerate(leaves):
        zero, missing = (
            sum(told(case, alone(definition, each), history, now)[0] for history in histories.values() if each)
            for each in nothings(leaf)
        )
        assert (preview.zero[n], preview.missing[n]) == (zero, missing)
    for unit, history in histories.items():
        for explained in evaluator.explain(definition, unit, now, case.segments):
            one = alone(definition, explained.leaf)
            assert agrees(case, one, (explained.truth, explained.next), told(case, one, history, now))
            if isinstance(explained.leaf, Did | Seq | Absent):
                assert explained.events == behind(case, definition, explained.leaf, history, now)


def nothings(leaf: Any) -> tuple[Any, Any]:
    """The leaf that holds where this one's figure is zero, and that which does where its value is missing."""
    match leaf:
        case Did() | Rel() if leaf.agg.fn in (Fn.COUNT, Fn.SUM, Fn.DISTINCT, Fn.PERIODS):
            return replace(leaf, test=Compare(Op.EQ, 0)), None
        case Did() | Rel() | Attr():
            return None, replace(leaf, test=Compare(Op.MISSING))
    return None, None


@examples(3)
@given(case=cases(definitions=2, families=3, entity=Entity.PERSON))
def test_two_persons_of_one_number_are_not_taken_for_one_but_numbered_anew(worlds: StoredWorlds, case: Case) -> None:
    assume(len({person for over in case.world.owned.values() for _, person in over if person}) > 1)
    everybody = [replace(case.definitions[0], universe=All(), where=All()), *case.definitions]
    apart, asked = Sources.unit_of, Counter[tuple[int, int]]()

    def as_one_at_first(sources: Sources, its_id: str) -> str:
        asked[sources.scope.key] += 1
        return apart(sources, its_id) if len(asked) > 1 else f"toUInt64({its_id} != '{NOBODY}')"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sources, "unit_of", as_one_at_first)
        assert_agreed(worlds.evaluator_of(case), case, everybody, case.clock.now)
    assert len(asked) == 2


def test_ids_that_were_made_to_have_one_hash_have_two_numbers(worlds: StoredWorlds) -> None:
    ids = [f"toUUID('{each}')" for each in ALIKE]
    numbers = [Sources(Params(), Entity.PERSON, 0, Scope()).unit_of(each) for each in ids]
    for said, alike in (([f"cityHash64(7, {each})" for each in ids], 1), (numbers, 0)):
        assert worlds.store.ask(f"SELECT {' = '.join(said)}", {}) == [[alike]]
