"""The compiled query against the slow evaluator, over random histories and definitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cdp.model import Millis
from segments.tree import All, Definition, Op, Prop
from segments.walk import leaves_of
from tests.oracle import segments as oracle
from tests.oracle.history import History
from tests.segments.histories import Case, cases
from tests.segments.store import StoredWorlds, stored_worlds

Said = tuple[bool, Millis | None]
NOBODY: Said = (False, None)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredWorlds]:
    folder: Path = tmp_path_factory.mktemp("worlds")
    with stored_worlds(folder) as found:
        yield found


EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@EXAMPLES
@given(case=cases(definitions=8))
def test_the_compiled_query_says_of_everybody_what_the_slow_evaluator_says(worlds: StoredWorlds, case: Case) -> None:
    evaluator = worlds.evaluator_of(case)
    now = case.clock.now
    found = {
        unit: {each.segment: (each.member, each.next) for each in verdicts}
        for unit, verdicts in evaluator.evaluate(case.definitions, now, others=case.segments)
    }
    histories = case.world.histories(case.definitions[0].entity)
    for n, definition in enumerate(case.definitions):
        for unit, history in histories.items():
            said = found.get(unit, {}).get(n, NOBODY)
            expected = _expected(case, definition, history)
            assert _agrees(said, expected, exact=not _ages(case, definition)), (definition, unit, said, expected)
    assert found.keys() <= histories.keys()


@EXAMPLES
@given(case=cases(definitions=4))
def test_some_units_are_told_what_everybody_is(worlds: StoredWorlds, case: Case) -> None:
    evaluator = worlds.evaluator_of(case)
    units = sorted(case.world.histories(case.definitions[0].entity))
    everybody = dict(evaluator.evaluate(case.definitions, case.clock.now, others=case.segments))
    for some in (units[:1], units[1:], units):
        found = dict(evaluator.evaluate(case.definitions, case.clock.now, units=some, others=case.segments))
        assert found == {unit: said for unit, said in everybody.items() if unit in some}
    halves = [("", "8"), ("8", "~")]
    parts = [evaluator.evaluate(case.definitions, case.clock.now, part=half, others=case.segments) for half in halves]
    assert dict(chain(*parts)) == everybody


@EXAMPLES
@given(case=cases(definitions=3))
def test_what_people_ask_agrees_with_the_slow_evaluator(worlds: StoredWorlds, case: Case) -> None:
    evaluator, now = worlds.evaluator_of(case), case.clock.now
    histories = case.world.histories(case.definitions[0].entity)
    members = [
        {unit for unit, history in histories.items() if _expected(case, each, history)[0]} for each in case.definitions
    ]
    preview = evaluator.preview(case.definitions[0], now, case.segments)
    assert preview.count == len(members[0])
    assert set(preview.sample) == members[0]
    assert sum(preview.channels.values()) == len(members[0])
    regions: dict[frozenset[int], int] = {}
    for unit in histories:
        region = frozenset(n for n, some in enumerate(members) if unit in some)
        regions[region] = regions.get(region, 0) + 1
    regions.pop(frozenset(), None)
    assert evaluator.overlap(case.definitions, now, case.segments) == regions
    for unit, history in histories.items():
        told = evaluator.explain(case.definitions[0], unit, now, case.segments)
        if history.exists(now):
            alone = [_alone(case.definitions[0], leaf) for _, leaf in leaves_of(case.definitions[0])]
            assert [each.truth for each in told] == [_expected(case, each, history)[0] for each in alone]


def _alone(definition: Definition, leaf: Any) -> Definition:
    return dataclasses.replace(definition, universe=All(), where=leaf)


def _expected(case: Case, definition: Definition, history: History) -> Said:
    now = case.clock.now
    if not history.exists(now):
        return NOBODY
    truth = oracle.truth(definition, history, now, case.segments, case.kept)
    return truth, oracle.next_change(definition, history, now, case.segments, case.kept)


def _agrees(said: Said, expected: Said, *, exact: bool) -> bool:
    """Where the age of a value decides what counts as a match, the next look may be earlier than the change."""
    early = not exact and said[1] is not None and (expected[1] is None or said[1] <= expected[1])
    return said[0] == expected[0] and (early or said[1] == expected[1])


def _ages(case: Case, *definitions: Definition) -> bool:
    every: tuple[Any, ...] = (*definitions, *case.segments.values())
    return any(isinstance(node, Prop) and node.test.op in (Op.OLDER, Op.NEWER) for node in _nodes(every))


def _nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        for each in node:
            yield from _nodes(each)
    elif dataclasses.is_dataclass(node):
        yield node
        for field in dataclasses.fields(node):
            yield from _nodes(getattr(node, field.name))
