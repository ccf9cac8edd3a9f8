"""The comparison with the slow evaluator bites: a compiler with one mistake in its text does not pass it."""

from __future__ import annotations

import inspect
import random
import textwrap
from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

import pytest

from segments import calendar, counts, sql_did, sql_fold, sql_sequence, sql_spans, sql_tried, sql_values, sql_windows
from segments.sql import Query, verdicts_query
from segments.sql_leaves import Leaves
from segments.sql_rows import Asked, every
from segments.sql_source import Scope, Sources
from segments.tree import Absent, Attr, Calendar, Definition, Fixed, Fn, In, Rel, Rolling, Sample, Seq, Since
from tests.segments.compared import assert_agreed
from tests.segments.histories import DEFINITION_BYTES, EVENT_BYTES, GROUND_BYTES, Case, case_of
from tests.segments.store import StoredWorlds

ALL = ("", "~")
"""In one query, where everybody takes two."""
SEEDS = 150
"""So many worlds are tried."""
FAMILIES, EVENTS, DEFINITIONS = 4, 48, 8
ASKED = 3
"""Of the definitions of one world, those whose query the mistake changes."""


class Mutant(NamedTuple):
    """A function in whose text one piece is another, and what has to be asked about for that to show; seeds are tried
    from this one on, as what is rare shows late."""

    function: Callable[..., Any]
    piece: str
    mistake: str
    about: type | Fn
    seed: int = 0


MUTANTS = {
    # Windows
    "the edge of a window is inside": Mutant(sql_did._newest, "{rows.at} > {", "{rows.at} >= {", Rolling),
    "a match leaves a moment late": Mutant(sql_windows.inside, "e.1 > {x} - {last}", "e.1 >= {x} - {last}", Rolling),
    "a match enters a moment late": Mutant(sql_windows.inside, "e.1 <= {x} - {until}", "e.1 < {x} - {until}", Rolling),
    "a fixed window is open on the left": Mutant(
        sql_windows.bound_of, ">= {int(window.start)}", "> {int(window.start)}", Fixed
    ),
    "a fixed window is closed on the right": Mutant(
        sql_windows.bound_of, "< {int(window.end)}", "<= {int(window.end)}", Fixed
    ),
    "a calendar window is open on the left": Mutant(sql_windows.inside, "e.1 >= {first}", "e.1 > {first}", Calendar),
    "a calendar window is closed on the right": Mutant(sql_windows.inside, "e.1 < {end}", "e.1 <= {end}", Calendar),
    "the calendar never turns": Mutant(sql_windows.turns, "shifts(window, asked)[0]", "[0]", Calendar),
    "weeks begin on Sunday": Mutant(calendar._later, "- day.weekday()", "- day.isoweekday() % 7", Calendar),
    "quarters begin with any month": Mutant(calendar._later, "// length * length", "", Calendar),
    "days are those of London": Mutant(calendar.start_of, ".astimezone(zone)", "", Calendar, 14),
    "what is since begins a moment late": Mutant(sql_windows.inside, "e.1 >= {since}", "e.1 > {since}", Since),
    "what is since ends a moment late": Mutant(sql_windows.inside, "e.1 < {since}", "e.1 <= {since}", Since),
    "since the last, though the first is asked": Mutant(sql_windows.beginning, '"min" if', '"max" if', Since, 7),
    # Counts
    "nothing is no number": Mutant(counts.truth_of_nothing, "meets(wanted, 0)", "False", Fn.COUNT),
    "nothing is there": Mutant(counts.truth_of_nothing, "Op.MISSING", "Op.PRESENT", Fn.MIN),
    "the newest match decides of any count": Mutant(
        sql_did._by_steps, "{moments}[{breaks[0]}]", "{moments}[1]", Rolling, 42
    ),
    "one match more is awaited": Mutant(sql_did._by_steps, "t > {moments}[step]", "t >= {moments}[step]", Rolling),
    "too few of the newest are kept": Mutant(sql_did._times, "({most})", "(1)", Rolling),
    "what is counted lies the other way round": Mutant(sql_did._times, "arrayReverseSort", "arraySort", Rolling, 11),
    "a text is a number": Mutant(sql_values.canonical, "concat('s'", "concat('n'", Fn.DISTINCT),
    "zero is two numbers": Mutant(sql_values.canonical, " + 0.", "", Fn.DISTINCT),
    "weeks are counted from Thursday": Mutant(sql_tried._period, "toMonday", "toDayOfYear", Fn.PERIODS, 9),
    # Aggregates
    "nothing has an average": Mutant(sql_did._figure, '"1" if fn is Fn.SUM', '"1" if True', Fn.AVG),
    "what has left has a greatest value": Mutant(
        sql_tried._truth_of, "number_cell(found, some)", "number_cell(found)", Rolling
    ),
    "the first is the last": Mutant(sql_did._figure, '"min" if', '"max" if', Fn.SINCE_FIRST),
    "the last value is the first": Mutant(
        sql_did._chosen, "first = agg.fn is Fn.FIRST", "first = agg.fn is Fn.LAST", Fn.LAST, 12
    ),
    "the n-th moment is the first": Mutant(sql_did._figure, "{found}[{int(agg.n)}]", "{found}[1]", Fn.NTH, 11),
    "the n-th value is the first": Mutant(sql_did._chosen, "found, int(agg.n), wanted", "found, 1, wanted", Fn.NTH, 4),
    "of several at once each must do": Mutant(sql_tried.any_at, "has({values}, 1)", "NOT has({values}, 0)", Fn.NTH),
    "of several at once the youngest is old": Mutant(sql_tried.any_at, "arrayMin", "arrayMax", Fn.NTH, 26),
    "the last in a window is the first": Mutant(sql_tried._truth_of, "agg.fn, -1", "agg.fn, 1", Fn.LAST),
    "matches in a window lie as they come": Mutant(sql_tried.tried, "arraySort({over", "arrayConcat({over", Rolling),
    "an age is reached a moment early": Mutant(
        sql_tried._moments, "int(wanted.value) + 1", "int(wanted.value)", Fn.SINCE_LAST
    ),
    # Values
    "what is missing differs": Mutant(sql_values.test, "({cell.present} AND NOT", "(NOT", Attr),
    "as old is older": Mutant(sql_values.test, ")} > {_whole", ")} >= {_whole", Fn.SINCE_LAST),
    "as new is older": Mutant(sql_values.test, ")} <= {_whole", ")} < {_whole", Fn.SINCE_LAST),
    "a value ages a moment early": Mutant(
        sql_values.flips_by_age, "_whole(wanted.value) + 1", "_whole(wanted.value)", Attr
    ),
    "between leaves its beginning out": Mutant(sql_values.test, '(">=", "<=")', '(">", "<=")', Fn.MAX, 19),
    "days begin in London": Mutant(sql_values.moment, "place.tz", "'UTC'", Attr, 99),
    "parts of a millisecond are rounded up": Mutant(sql_values.moment, "floor(", "ceil(", Attr, 31),
    "a text contains nothing at its beginning": Mutant(sql_values._contains, "> 0')", "> 1')", Attr),
    "lists hold nothing": Mutant(sql_values._contains, "{cell.items}", "CAST([] AS Array(String))", Fn.LAST, 71),
    # Attributes
    "what adds is done in no order": Mutant(sql_fold.folded, "arraySort(", "arrayReverseSort(", Attr, 40),
    "what is set once is set again": Mutant(sql_fold.folded, "if(v = '', r.3, v)", "r.3", Attr),
    "what was added before it was set is added": Mutant(sql_fold.folded, "r.1 > newest", "1", Attr),
    "what is taken back stays": Mutant(sql_fold.fold_states, "if(operation = 'set', value, '')", "value", Attr, 10),
    "an attribute is what came later": Mutant(Sources._attribute_rows, " AND occurred_at <= known", "", In),
    "any attribute will do": Mutant(Sources._attribute_rows, "{its} = name", "1", Attr),
    "the status is not the stage": Mutant(Asked.of_lead, '"stage" if name == "status" else name', "name", Attr, 26),
    "who was seen last was seen first": Mutant(Asked.trait, '"min" if', '"max" if', Attr),
    # Filters and connectives
    "of a filter any part will do": Mutant(every, "' AND '", "' OR '", Seq),
    "of a filter all parts are needed": Mutant(Asked._filter, "' OR '", "' AND '", Seq),
    "what a filter denies is meant": Mutant(Asked._filter, "(NOT ", "(", Seq),
    "values in filters have no age": Mutant(Asked._rows, "if flips else", "if False else", Fn.COUNT, 21),
    "any condition will do": Mutant(every, "' AND '", "' OR '", Rel),
    "what is denied is meant": Mutant(Leaves.of, "(NOT ", "(", Rel),
    "nobody is outside of the universe": Mutant(Leaves.member, "universe, definition.where", "where,", Sample),
    # Sequences and absence
    "two at once are in order": Mutant(sql_sequence.sequence_select, "2 * (last - n)", "2 * n", Seq),
    "a step is before itself": Mutant(sql_sequence._reached, "arrayFill(", "arrayReverseFill(", Seq),
    "who never began comes to the end": Mutant(sql_sequence.sequence_select, "{_is(rank[0])}", "1", Seq),
    "gaps are a moment shorter": Mutant(sql_sequence._reached, "<= {step.gap}", "< {step.gap}", Seq),
    "gaps do not matter": Mutant(sql_sequence._reached, "step.gap is not None", "False", Seq),
    "it does not matter what lies between": Mutant(sql_sequence._reached, "if step.without", "if False", Seq, 55),
    "what comes with a step lies before it": Mutant(
        sql_sequence.sequence_select, '_numbers("t", _between', '_numbers("t - 1", _between', Seq
    ),
    "what comes with a step lies after it": Mutant(sql_sequence._between, "rank + 1", "rank + 3", Seq),
    "of all groups, nothing lies between": Mutant(sql_sequence._newest, "max(", "min(", Seq),
    "of all groups, what comes with a step hides what lies between": Mutant(
        sql_sequence._newest, "1 PRECEDING", "CURRENT ROW", Seq
    ),
    "the whole takes a moment less": Mutant(sql_sequence.sequence_select, "<= {leaf.within}", "< {leaf.within}", Seq),
    "steps need not be about the same": Mutant(
        sql_spans._group_of, "{f'toString(tuple({values}))' if cells[1:] else values}", "'1'", Seq
    ),
    "what is about nothing is about the same": Mutant(sql_sequence.sequence_select, "g != '' AND ", "", Seq),
    "what is about nothing is waited for": Mutant(sql_sequence.without_groups, "g != '' AND ", "", Absent),
    "events of any name are steps": Mutant(Asked.alone, "{named} AND ", "", Seq),
    "the wait is a moment longer": Mutant(
        sql_spans._absent_at_all, "{begins} <= {asked.now}", "{begins} < {asked.now}", Absent
    ),
    "of a group, the wait is a moment longer": Mutant(sql_spans._of_spans, "s.1 <= {now}", "s.1 < {now}", Absent),
    "a sequence may begin before the window": Mutant(sql_spans._of_pairs, "p.1 >= {int(start)}", "1", Seq),
    "a sequence may end after the window": Mutant(sql_spans._of_pairs, "p.2 < {bound}", "1", Seq),
    "the end is a moment later": Mutant(sql_spans._absent_at_all, "+ {leaf.until}", "+ {leaf.until + 1}", Absent),
    "of a group, the end is a moment later": Mutant(
        sql_spans._absent_by_group, "+ {leaf.until}", "+ {leaf.until + 1}", Absent
    ),
    "what is not yet over is left out": Mutant(sql_spans._not_over, "now - leaf.until", "now - leaf.until + 1", Absent),
    "there is no end": Mutant(sql_spans._absent_at_all, "leaf.until is None", "True", Absent),
    "of a group, there is no end": Mutant(sql_spans._absent_by_group, "leaf.until is None", "True", Absent),
    "what comes with the first is after it": Mutant(
        sql_spans._absent_at_all, "{came} <= {newest}", "{came} < {newest}", Absent
    ),
    "of a group, what comes with the first is after it": Mutant(
        sql_sequence.without_groups, "came <= newest", "came < newest", Absent
    ),
    # Membership and chance
    "what came later was known before": Mutant(Asked.known_by, "{at} <= {self.known}", "1", In),
    "another segment has the days of this one": Mutant(Leaves.member, "tz=definition.tz", "tz=self.asked.tz", In, 9),
    "a stay is long enough a moment late": Mutant(Leaves._held_for, "<= {now})", "< {now})", In),
    "chance reads its number from the end": Mutant(Leaves._sample, "reverse(", "(", Sample),
    # Whose what is
    "what came as the set changed hands is the former owner's": Mutant(
        Sources._person_at, "start <= {at}", "start < {at}", Fn.COUNT, 29
    ),
    "what happens now has not happened": Mutant(
        Sources._owned_rows, "<= {int(self.now)}", "< {int(self.now)}", Fn.COUNT
    ),
    "who had a set before is nobody": Mutant(Sources._universe, "arrayZip(turns.2, whos)", "[(person, who)]", Fn.COUNT),
    "a lead that comes now is not there": Mutant(Sources._leads_now, "<= {int(self.now)}", "< {int(self.now)}", Rel),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_compiler_with_a_mistake_is_found_out(
    worlds: StoredWorlds, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = MUTANTS[name]
    seeds = range(mutant.seed, mutant.seed + SEEDS)
    assert any(found_out(worlds, mutant, seed, monkeypatch) for seed in seeds), f"{name}, and nothing noticed"


def found_out(worlds: StoredWorlds, mutant: Mutant, seed: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the compiler is wrong with the mistake, and right without."""
    case = a_case(seed, mutant.about)
    right = [query_of(case, each) for each in case.definitions]
    with monkeypatch.context() as patch:
        patch.setattr(mutant.function, "__code__", mistaken(mutant))
        changed = [n for n, each in enumerate(case.definitions) if query_of(case, each) != right[n]][:ASKED]
        definitions = [case.definitions[n] for n in changed]
        if not definitions or agree(worlds, case, definitions):
            return False
    assert_agreed(worlds.evaluator_of(case), case, definitions, case.clock.now, part=ALL)
    return True


def agree(worlds: StoredWorlds, case: Case, definitions: list[Definition]) -> bool:
    try:
        assert_agreed(worlds.evaluator_of(case), case, definitions, case.clock.now, part=ALL)
    except AssertionError:
        return False
    return True


def query_of(case: Case, definition: Definition) -> Query:
    return verdicts_query([definition], case.clock.now, Scope(), case.segments, lambda *_: {})


@cache
def a_case(seed: int, about: type | Fn) -> Case:
    chance = random.Random(seed)
    return case_of(
        chance.randbytes(GROUND_BYTES * FAMILIES),
        [chance.randbytes(EVENT_BYTES) for _ in range(EVENTS)],
        [chance.randbytes(DEFINITION_BYTES) for _ in range(DEFINITIONS)],
        about=about,
    )


@cache
def mistaken(mutant: Mutant) -> CodeType:
    """The function's code with the mistake."""
    source = textwrap.dedent(inspect.getsource(mutant.function))
    assert mutant.piece in source
    made: dict[str, Any] = {}
    text = source.replace(mutant.piece, mutant.mistake)
    exec(compile(text, "mutant", "exec", annotations.compiler_flag), mutant.function.__globals__, made)
    [function] = made.values()
    code: CodeType = function.__code__
    return code
