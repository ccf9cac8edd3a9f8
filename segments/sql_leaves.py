"""Leaves in SQL: for each its truth at a moment, and the next moment at which time alone changes it.

Of a threshold on a count only the newest few matches matter: `count >= 3 in 7 days` holds until the third newest is
seven days old. Where more is needed, the matches themselves are kept with their times, and the moments at which one
enters or leaves the window are tried in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cdp.model import Millis
from segments.calendar import start_of
from segments.counts import breaks_of, meets
from segments.sql_fold import folded
from segments.sql_sequence import sequence_select, without_groups
from segments.sql_source import Pass, Sources
from segments.sql_values import (
    NEVER,
    Cell,
    Place,
    canonical,
    compare,
    flips_by_age,
    json_cell,
    moment,
    moment_cell,
    number_cell,
    string_cell,
    test,
    text_cell,
)
from segments.tree import (
    Absent,
    Aggregate,
    All,
    Any_,
    Attr,
    Calendar,
    Condition,
    Definition,
    Did,
    Duration,
    Entity,
    Filter,
    Fixed,
    Fn,
    In,
    Leaf,
    Not,
    Op,
    Prop,
    Rel,
    Rolling,
    Sample,
    Seq,
    Since,
    Step,
    Test,
    Window,
)

HOUR_MS = 3_600_000
MANY = 500
"""Matches of one unit in a rolling window; of more, the moments at which the window loses them are told by the hour."""

SHOWN = 50
"""Events told of one leaf."""

COUNTED = (Fn.COUNT, Fn.DISTINCT, Fn.PERIODS)
ZERO_OF_NOTHING = (*COUNTED, Fn.SUM)
BY_VALUE = (Fn.SUM, Fn.AVG, Fn.MIN, Fn.MAX)
CHOSEN = (Fn.FIRST, Fn.LAST, Fn.NTH)


Held = Callable[[str, Collection[str] | None, Millis], Mapping[str, Millis]]
"""Since when units are members of a segment at a moment, without interruption: of these units, or all."""


class Answer(NamedTuple):
    """Expressions over what `Sources.joined` gives."""

    truth: str
    next: str = str(NEVER)


class Rows(NamedTuple):
    """The pass over a leaf's rows, the condition for a match, and when the age of a value changes that condition, as an
    expression over the pass, '' for never."""

    over: Pass
    match: str
    ages: str


@dataclass(slots=True)
class Leaves:
    """Compiles leaves as of one moment, of what had happened by `known`. `others` are the segments that `in` may name,
    `held` their members of old."""

    sources: Sources
    now: Millis
    known: Millis
    tz: str
    others: Mapping[str, Definition]
    held: Held

    @property
    def place(self) -> Place:
        return Place(self.sources.params, str(self.now), self.tz)

    def of(self, condition: Condition, leaf: Callable[[Leaf], Answer] | None = None) -> Answer:
        """The answer of a whole tree."""
        match condition:
            case All(parts) | Any_(parts):
                answers = [self.of(part, leaf) for part in parts]
                word = " AND " if isinstance(condition, All) else " OR "
                empty = "1" if isinstance(condition, All) else "0"
                truth = f"({word.join(each.truth for each in answers) or empty})"
                return Answer(truth, earliest(*(each.next for each in answers)))
            case Not(part):
                answer = self.of(part, leaf)
                return Answer(f"(NOT {answer.truth})", answer.next)
        return (leaf or self.leaf)(condition)

    def member(self, definition: Definition, leaf: Callable[[Leaf], Answer] | None = None) -> Answer:
        """Of a segment: its universe and its condition, in its own time zone."""
        own = replace(self, tz=definition.tz)
        return own.of(All((definition.universe, definition.where)), leaf)

    def leaf(self, leaf: Leaf) -> Answer:
        match leaf:
            case Attr():
                return self._attr(leaf)
            case Did():
                return self._did(leaf)
            case Seq():
                return self._seq(leaf)
            case Absent():
                return self._absent(leaf)
            case In():
                return self._in(leaf)
            case Rel():
                return self._rel(leaf)
            case Sample():
                return self._sample(leaf)
        raise NotImplementedError(leaf)

    # Rows

    def _events(self, step: Step) -> Rows:
        over = self.sources.of_events(step.names)
        return self._rows(over, step.where, self._property, "occurred_at")

    def _rows(self, over: Pass, where: Filter, cell: Callable[[str], Cell], at: str) -> Rows:
        ages: list[str] = []
        match = self._filter(where, cell, ages)
        if self.known != self.sources.now:
            match += f" AND {at} <= {self.known}"
        flips = [over.state("min", each, f"{each} < {NEVER}") for each in ages]
        return Rows(over, match, earliest(*(f"if({each} = 0, {NEVER}, {each})" for each in flips)) if flips else "")

    def _filter(self, where: Filter, cell: Callable[[str], Cell], ages: list[str]) -> str:
        match where:
            case All(parts):
                return f"({' AND '.join(self._filter(part, cell, ages) for part in parts) or '1'})"
            case Any_(parts):
                return f"({' OR '.join(self._filter(part, cell, ages) for part in parts) or '0'})"
            case Not(part):
                return f"(NOT {self._filter(part, cell, ages)})"
            case Prop(name, wanted):
                if wanted.op in (Op.OLDER, Op.NEWER):
                    ages.append(flips_by_age(cell(name), wanted, self.place))
                return self._test(cell(name), wanted, cell)
        raise NotImplementedError(where)

    def _test(self, value: Cell, wanted: Test, cell: Callable[[str], Cell]) -> str:
        return compare(value, wanted.op, cell(wanted.ref)) if wanted.ref else test(value, wanted, self.place)

    def _property(self, name: str) -> Cell:
        path = name[1:] if name.startswith("$") else f"properties.{name}"
        return json_cell(self.sources.params, "fields", path)

    def _of_lead(self, name: str) -> Cell:
        match name:
            case "id":
                return string_cell("id")
            case "created_at":
                return moment_cell("at", "1")
        return json_cell(self.sources.params, "fields", "stage" if name == "status" else name)

    # Attributes

    def _attr(self, leaf: Attr) -> Answer:
        if self.sources.entity is Entity.LEAD:
            over = self.sources.of_leads()
            value = self._of_lead(leaf.name)
            truth = over.truth(over.state("max", self._test(value, leaf.test, self._of_lead), "1"), of_nothing=False)
            if leaf.test.op not in (Op.OLDER, Op.NEWER):
                return Answer(truth)
            return Answer(truth, over.moment(over.state("min", flips_by_age(value, leaf.test, self.place), "1")))
        value = self._trait(leaf.name)
        return Answer(self._test(value, leaf.test, self._trait), flips_by_age(value, leaf.test, self.place))

    def _trait(self, name: str) -> Cell:
        """An attribute of a person, as it is for the whole of it."""
        known = "1" if self.known == self.sources.now else f"occurred_at <= {self.known}"
        if name in ("$events", "$first_seen", "$last_seen"):
            over = self.sources.of_events(())
            if name == "$events":
                return number_cell(over.tell(over.state("count", "", known)))
            found = over.tell(over.state("min" if name == "$first_seen" else "max", "occurred_at", known))
            return moment_cell(found, f"({found} != 0)")
        over = self.sources.of_traits(name)
        return text_cell(over.tell(folded(over, self.sources.params.bind(name, "String"), known)))

    # What was done

    def _did(self, leaf: Did) -> Answer:
        rows = self._events(leaf.step)
        answer = self._aggregated(rows, leaf.window, leaf.agg, leaf.test, self._property, "occurred_at")
        return answer._replace(next=earliest(answer.next, self._aged(rows), self._aged_window(leaf.window)))

    def _aged_window(self, window: Window | None) -> str:
        """When the age of a value changes what a window begins with."""
        if isinstance(window, Since) and window.step is not None:
            return self._aged(self._events(window.step))
        return str(NEVER)

    def _rel(self, leaf: Rel) -> Answer:
        rows = self._rows(self.sources.of_leads(), leaf.where, self._of_lead, "at")
        answer = self._aggregated(rows, None, leaf.agg, leaf.test, self._of_lead, "at")
        return answer._replace(next=earliest(answer.next, self._aged(rows)))

    def _aged(self, rows: Rows) -> str:
        return rows.over.moment(rows.ages) if rows.ages else str(NEVER)

    def _aggregated(
        self, rows: Rows, window: Window | None, agg: Aggregate, wanted: Test, cell: Callable[[str], Cell], at: str
    ) -> Answer:
        match window:
            case Rolling(_, 0) if agg.fn in COUNTED:
                return self._newest(rows, window, agg, wanted, cell)
            case None:
                return self._plain(rows, agg, wanted, cell, at)
            case Fixed(start, end):
                bound = f"{at} >= {int(start)}" + (f" AND {at} < {int(end)}" if end is not None else "")
                return self._plain(rows._replace(match=f"{rows.match} AND {bound}"), agg, wanted, cell, at)
        return self._tried(rows, window, agg, wanted, cell)

    def _newest(self, rows: Rows, window: Rolling, agg: Aggregate, wanted: Test, cell: Callable[[str], Cell]) -> Answer:
        """Of a count in a rolling window, by as many of the newest as the test looks at."""
        over, match = rows.over, f"{rows.match} AND occurred_at > {self.now - window.last}"
        truths = [meets(wanted, 0)]
        breaks = breaks_of(wanted)
        truths += [meets(wanted, each) for each in breaks]
        if not breaks:
            return Answer(str(int(truths[0])))
        if agg.fn is Fn.COUNT and breaks == [1]:
            newest = over.state("max", "occurred_at", match)
            true, flip = f"({newest} > 0) = {int(truths[1])}", f"if({newest} > 0, {newest} + {window.last}, {NEVER})"
            return Answer(over.truth(true, of_nothing=truths[0]), over.moment(flip))
        if agg.fn is Fn.COUNT:
            found = over.state("groupArraySorted", "-occurred_at", match, f"({breaks[-1]})")
            moments = f"arrayMap(t -> -t, {found})"
        else:
            value, more = self._counted(agg, cell)
            found = over.state("maxMap", f"map({value}, occurred_at)", f"{match}{more}")
            moments = f"arrayReverseSort(mapValues({found}))"
        if len(breaks) == 1:
            enough = f"length({moments}) >= {breaks[0]}"
            true, flip = (
                f"({enough}) = {int(truths[1])}",
                f"if({enough}, {moments}[{breaks[0]}] + {window.last}, {NEVER})",
            )
        else:
            true, flip = _by_steps(moments, breaks, truths, window.last)
        return Answer(over.truth(true, of_nothing=truths[0]), over.moment(flip))

    def _counted(self, agg: Aggregate, cell: Callable[[str], Cell]) -> tuple[str, str]:
        """What is counted of a match, and a condition for its being there."""
        if agg.fn is Fn.PERIODS:
            return _period(agg.period, self.sources.params.bind(self.tz, "String")), ""
        if agg.fn is Fn.DISTINCT:
            value = cell(agg.of)
            return canonical(value), f" AND {value.present}"
        return "0", ""

    def _plain(self, rows: Rows, agg: Aggregate, wanted: Test, cell: Callable[[str], Cell], at: str) -> Answer:
        """Where no match ever leaves: one aggregate."""
        over, match = rows.over, rows.match
        nothing = truth_of_nothing(agg, wanted)
        fn = agg.fn
        if fn in CHOSEN and agg.of:
            return self._chosen(rows, agg, wanted, cell, at)
        if fn in COUNTED:
            value, more = self._counted(agg, cell)
            counted = over.state(*(("count", "") if fn is Fn.COUNT else ("uniqExact", value)), f"{match}{more}")
            value_cell = number_cell(counted)
        elif fn in BY_VALUE:
            number = cell(agg.of).number
            there = f"{match} AND isNotNull({number})"
            counted = over.state("count", "", there)
            found = over.state(str(fn.value), f"assumeNotNull({number})", there)
            value_cell = number_cell(found, "1" if fn is Fn.SUM else f"({counted} > 0)")
        elif fn is Fn.NTH:
            found = over.state("groupArraySorted", at, match, f"({int(agg.n)})")
            value_cell = moment_cell(f"{found}[{int(agg.n)}]", f"(length({found}) >= {int(agg.n)})")
        else:
            found = over.state("min" if fn in (Fn.FIRST, Fn.SINCE_FIRST) else "max", at, match)
            value_cell = moment_cell(found, f"({found} != 0)")
        truth = over.truth(test(value_cell, wanted, self.place), of_nothing=nothing)
        return Answer(truth, self._flip(over, value_cell, wanted))

    def _flip(self, over: Pass, value: Cell, wanted: Test) -> str:
        if wanted.op not in (Op.OLDER, Op.NEWER):
            return str(NEVER)
        return over.moment(flips_by_age(value, wanted, self.place))

    def _chosen(self, rows: Rows, agg: Aggregate, wanted: Test, cell: Callable[[str], Cell], at: str) -> Answer:
        """The value of the first, last or n-th match: it is tested where it stands, and the test's outcome chosen."""
        over, value = rows.over, cell(agg.of)
        told = [self._test(value, wanted, cell), flips_by_age(value, wanted, self.place)]
        kept = f"tuple({', '.join(told)})"
        order = f"tuple({at}, id)"
        if agg.fn is Fn.NTH:
            found = over.state("groupArray", f"tuple({order}, {kept})", rows.match)
            chosen = f"arraySort({found})[{int(agg.n)}].2"
            there = f"length({found}) >= {int(agg.n)}"
        else:
            chosen = over.state("argMin" if agg.fn is Fn.FIRST else "argMax", f"{kept}, {order}", rows.match)
            there = f"{over.state('count', '', rows.match)} > 0"
        nothing = truth_of_nothing(agg, wanted)
        truth = over.truth(f"if({there}, {chosen}.1, {int(nothing)})", of_nothing=nothing)
        if wanted.op not in (Op.OLDER, Op.NEWER):
            return Answer(truth)
        return Answer(truth, over.moment(f"if({there}, {chosen}.2, {NEVER})"))

    def _tried(
        self, rows: Rows, window: Window | None, agg: Aggregate, wanted: Test, cell: Callable[[str], Cell]
    ) -> Answer:
        """By the matches themselves: what holds at any moment is worked out from those in the window then."""
        over = rows.over
        value, more = self._kept(agg, wanted, cell)
        found = over.state("groupArray", f"tuple(occurred_at, id, {value})", f"{rows.match}{more}{self._reach(window)}")
        if isinstance(window, Since):
            # Its beginning comes from elsewhere, so all of it is worked out where everything has been joined.
            found = over.tell(found)
        matches = f"arraySort({found})"
        inside = self._inside(window)

        def truth_at(x: str) -> str:
            return self._truth_of(f"arrayFilter(e -> {inside(x)}, {matches})", agg, wanted, x)

        moments = self._moments(matches, window, agg, wanted)
        now = truth_at(str(self.now))
        tried = f"arraySort(arrayDistinct(arrayFilter(x -> x > {self.now}, {moments})))"
        first = f"arrayFirst(x -> {truth_at('x')} != {now}, {tried})"
        flip = f"if({first} = 0, {NEVER}, {first})"
        if isinstance(window, Since):
            return Answer(now, flip)
        return Answer(over.truth(now, of_nothing=truth_of_nothing(agg, wanted)), over.moment(flip))

    def _kept(self, agg: Aggregate, wanted: Test, cell: Callable[[str], Cell]) -> tuple[str, str]:
        """What is kept of a match, and a condition for its being kept."""
        if agg.fn in COUNTED:
            return self._counted(agg, cell)
        if agg.fn in BY_VALUE:
            number = cell(agg.of).number
            return f"assumeNotNull({number})", f" AND isNotNull({number})"
        if agg.of and wanted.op in (Op.OLDER, Op.NEWER):
            return f"ifNull({moment(cell(agg.of), self.place)}, {-NEVER})", ""
        if agg.of:
            return f"toUInt8({self._test(cell(agg.of), wanted, cell)})", ""
        return "occurred_at", ""

    def _truth_of(self, matches: str, agg: Aggregate, wanted: Test, x: str) -> str:
        """Of the matches in the window, in their order."""
        place = replace(self.place, now=x)
        values, some = f"arrayMap(e -> e.3, {matches})", f"notEmpty({matches})"
        match agg.fn:
            case Fn.COUNT:
                return test(number_cell(f"length({matches})"), wanted, place)
            case Fn.DISTINCT | Fn.PERIODS:
                return test(number_cell(f"length(arrayDistinct({values}))"), wanted, place)
            case Fn.SUM:
                return test(number_cell(f"arraySum({values})"), wanted, place)
            case Fn.AVG | Fn.MIN | Fn.MAX:
                found = f"array{agg.fn.value.capitalize()}({values})"
                return test(number_cell(found, some), wanted, place)
        index = {Fn.FIRST: 1, Fn.SINCE_FIRST: 1, Fn.NTH: int(agg.n)}.get(agg.fn, -1)
        there = f"(length({matches}) >= {abs(index)})"
        chosen = f"{matches}[{index}].3"
        if not agg.of:
            return test(moment_cell(chosen, there), wanted, place)
        if wanted.op in (Op.OLDER, Op.NEWER):
            return test(moment_cell(chosen, f"({there} AND {chosen} != {-NEVER})"), wanted, place)
        return f"if({there}, {chosen}, {int(truth_of_nothing(agg, wanted))})"

    def _reach(self, window: Window | None) -> str:
        """Rows before it are in the window neither now nor later."""
        match window:
            case Rolling(last, _):
                return f" AND occurred_at > {self.now - last}"
            case Calendar(unit, back, _):
                return f" AND occurred_at >= {start_of(unit, self.now, self.tz, -back)}"
        return ""

    def _inside(self, window: Window | None) -> Callable[[str], str]:
        """Whether a match `e` is in the window at a moment."""
        match window:
            case Rolling(last, until):
                return lambda x: f"e.1 > {x} - {last} AND e.1 <= {x} - {until}"
            case Calendar(unit, back, count):
                begins, first, end = self._shifts(unit, back, count)
                place = f"arrayLastIndex(b -> b <= {{x}}, {begins})"
                return lambda x: f"e.1 >= {first}[{place.format(x=x)}] AND e.1 < {end}[{place.format(x=x)}]"
            case Since():
                since = self._beginning(window)
                return lambda x: f"ifNull(e.1 >= {since} AND e.1 < {since} + {window.length}, 0)"
        return lambda x: "1"

    def _shifts(self, unit: str, back: int, count: int) -> tuple[str, str, str]:
        """When the window begins to be another, from now until nothing of today is in it; its bounds then."""
        later = range(back + 2)
        starts = [start_of(unit, self.now, self.tz, each - back) for each in range(back + 2 + count)]
        begins = [start_of(unit, self.now, self.tz, each) for each in later]
        return str(begins), str([starts[each] for each in later]), str([starts[each + count] for each in later])

    def _beginning(self, window: Since) -> str:
        """The moment that the window begins with, NULL where there is none."""
        if window.step is None:
            if self.sources.entity is Entity.PERSON:
                return moment(self._trait(window.attr), self.place)
            over = self.sources.of_leads()
            found = over.tell(
                over.state("max", f"ifNull({moment(self._of_lead(window.attr), self.place)}, {-NEVER})", "1")
            )
            return f"nullIf({found}, {-NEVER})"
        rows = self._events(window.step)
        found = rows.over.state("min" if window.which == "first" else "max", "occurred_at", rows.match)
        return f"nullIf({rows.over.tell(found)}, 0)"

    def _moments(self, matches: str, window: Window | None, agg: Aggregate, wanted: Test) -> str:
        """When the answer may change: a match enters or leaves, the calendar turns, or a value comes of age."""
        found = []
        match window:
            case Rolling(last, until):
                found.append(f"arrayMap(e -> e.1 + {last}, {matches})")
                if until:
                    found.append(f"arrayMap(e -> e.1 + {until}, {matches})")
            case Calendar(unit, back, count):
                found.append(f"CAST({self._shifts(unit, back, count)[0]} AS Array(Int64))")
        if wanted.op in (Op.OLDER, Op.NEWER) and agg.fn not in (*ZERO_OF_NOTHING, *BY_VALUE):
            found.append(f"arrayMap(e -> toInt64(e.3) + {int(wanted.value) + 1}, {matches})")
        moments = f"arrayConcat({', '.join(found) or 'CAST([] AS Array(Int64))'})"
        if isinstance(window, Rolling):
            hours = f"arrayMap(x -> intDiv(x + {HOUR_MS - 1}, {HOUR_MS}) * {HOUR_MS}, {moments})"
            return f"if(length({matches}) > {MANY}, {hours}, {moments})"
        return moments

    # Order and absence

    def _seq(self, leaf: Seq) -> Answer:
        steps = [self._alone(step) for step in leaf.steps]
        keys = [self._property(name) for name in leaf.same]
        names = tuple(sorted({name for step in leaf.steps for name in (*step.names, *step.without)}))
        if not all(step.names for step in leaf.steps):
            names = ()
        select = sequence_select(
            lambda columns: self.sources.event_rows(names, columns),
            leaf,
            [match for match, _ in steps],
            [self._named(step.without) if step.without else "" for step in leaf.steps],
            keys,
            self._reach(leaf.window).removeprefix(" AND "),
        )
        pairs = self.sources.alone(select)
        spans = self._spans(pairs, leaf.window)
        truth, flip = self._of_spans(spans)
        ages = (self._age_alone(step) for step in leaf.steps)
        return Answer(truth, earliest(flip, *ages, self._aged_window(leaf.window)))

    def _alone(self, step: Step) -> tuple[str, list[str]]:
        ages: list[str] = []
        match = self._filter(step.where, self._property, ages)
        named = self._named(step.names) if step.names else "1"
        early = f" AND occurred_at <= {self.known}" if self.known != self.sources.now else ""
        return f"({named} AND {match}{early})", ages

    def _named(self, names: tuple[str, ...]) -> str:
        return f"name IN {self.sources.params.bind(list(names), 'Array(String)')}"

    def _age_alone(self, step: Step) -> str:
        """When the age of a value changes what matches a step."""
        return self._aged(self._events(step)) if self._alone(step)[1] else str(NEVER)

    def _spans(self, pairs: str, window: Window | None) -> str:
        """When a sequence that begins with `.1` and ends with `.2` makes the leaf true."""
        match window:
            case None:
                return f"arrayMap(p -> tuple(p.2, toInt64({NEVER})), {pairs})"
            case Rolling(last, until):
                return f"arrayMap(p -> tuple(p.2 + {until}, p.1 + {last}), {pairs})"
            case Fixed(start, before):
                bound = NEVER if before is None else int(before)
                inside = f"arrayFilter(p -> p.1 >= {int(start)} AND p.2 < {bound}, {pairs})"
                return f"arrayMap(p -> tuple(p.2, toInt64({NEVER})), {inside})"
            case Calendar(unit, back, count):
                begins, first, end = self._shifts(unit, back, count)
                ends = f"arrayPushBack(arrayPopFront({begins}), {NEVER})"
                shifts = f"arrayZip({begins}, {ends}, {first}, {end})"
                inside = f"arrayFilter(w -> p.1 >= w.3 AND p.2 < w.4, {shifts})"
                return (
                    f"arrayFlatten(arrayMap(p -> arrayMap(w -> tuple(toInt64(w.1), toInt64(w.2)), {inside}), {pairs}))"
                )
            case Since():
                since = self._beginning(window)
                inside = f"arrayFilter(p -> ifNull(p.1 >= {since} AND p.2 < {since} + {window.length}, 0), {pairs})"
                return f"arrayMap(p -> tuple(p.2, toInt64({NEVER})), {inside})"
        raise NotImplementedError(window)

    def _absent(self, leaf: Absent) -> Answer:
        def span(newest: str) -> str:
            end = str(NEVER) if leaf.until is None else f"{newest} + {leaf.until}"
            return f"tuple({newest} + {leaf.wait}, toInt64({end}))"

        if not leaf.same:
            after, absent = self._events(leaf.after), self._events(leaf.absent)
            newest, came = (
                each.over.tell(each.over.state("max", "occurred_at", each.match)) for each in (after, absent)
            )
            spans = f"if({newest} > 0 AND {came} <= {newest}, [{span(newest)}], [])"
        else:
            steps = [self._alone(step) for step in (leaf.after, leaf.absent)]
            names = tuple(sorted({*leaf.after.names, *leaf.absent.names}))
            if not (leaf.after.names and leaf.absent.names):
                names = ()
            keys = [self._property(name) for name in leaf.same]
            select = without_groups(
                lambda columns: self.sources.event_rows(names, columns),
                [match for match, _ in steps],
                keys,
                span("newest"),
            )
            spans = self.sources.alone(select)
        truth, flip = self._of_spans(spans)
        return Answer(truth, earliest(flip, *(self._age_alone(step) for step in (leaf.after, leaf.absent))))

    def _of_spans(self, spans: str) -> Answer:
        """True within any of these stretches of time; else until the next begins."""
        now = self.now
        truth = f"arrayExists(s -> s.1 <= {now} AND s.2 > {now}, {spans})"
        joined = f"arrayFold((end, s) -> if(s.1 <= end AND s.2 > end, s.2, end), arraySort({spans}), toInt64({now}))"
        later = f"arrayMap(s -> s.1, arrayFilter(s -> s.1 > {now} AND s.2 > s.1, {spans}))"
        # Where stretches overlap, it ends with the last of them.
        return Answer(truth, f"multiIf({truth}, {joined}, notEmpty({later}), arrayMin({later}), {NEVER})")

    # What a leaf looks at

    def behind(self, leaf: Leaf) -> str:
        """The ids of the newest events that a leaf's truth comes from, as an array."""
        match leaf:
            case Did():
                return self._ids((leaf.step,), leaf.window)
            case Seq():
                return self._ids(leaf.steps, leaf.window)
            case Absent():
                return self._ids((leaf.after, leaf.absent), None)
            case Attr() if self.sources.entity is Entity.PERSON and not leaf.name.startswith("$"):
                over = self.sources.of_traits(leaf.name)
                name = self.sources.params.bind(leaf.name, "String")
                known = f"(name = {name} OR operation = 'delete') AND occurred_at <= {self.known}"
                return _newest_of([over.tell(over.state("groupArray", "tuple(occurred_at, event)", known))])
        return "CAST([] AS Array(String))"

    def _ids(self, steps: Collection[Step], window: Window | None) -> str:
        found = []
        for step in steps:
            rows = self._events(step)
            bound = self._reach(window)
            if isinstance(window, Fixed):
                bound = f" AND occurred_at >= {int(window.start)}"
                bound += f" AND occurred_at < {int(window.end)}" if window.end is not None else ""
            elif isinstance(window, Rolling):
                bound += f" AND occurred_at <= {self.now - window.until}"
            ids = rows.over.state("groupArray", "tuple(occurred_at, id)", f"{rows.match}{bound}")
            found.append(rows.over.tell(ids))
        return _newest_of(found)

    # Membership, chance

    def _in(self, leaf: In) -> Answer:
        if leaf.held is not None:
            return self._held_for(leaf, leaf.held)
        if leaf.as_of is None:
            return self.member(self.others[leaf.segment])
        then = replace(self, now=leaf.as_of, known=min(self.known, leaf.as_of))
        truth = then.member(self.others[leaf.segment]).truth
        if self.sources.entity is Entity.LEAD:
            over = self.sources.of_leads()
            truth = f"({over.truth(over.state('max', f'at <= {then.known}', '1'), of_nothing=False)} AND {truth})"
        return Answer(truth)

    def _held_for(self, leaf: In, length: Duration) -> Answer:
        members = self.held(leaf.segment, self.sources.scope.units, self.now)
        type_ = "UUID" if self.sources.entity is Entity.PERSON else "String"
        units = self.sources.params.bind(list(members), f"Array({type_})")
        moments = self.sources.params.bind(list(members.values()), "Array(Int64)")
        pairs = f"SELECT arrayJoin(arrayZip({units}, {moments})) AS pair"
        since = self.sources.alone(f"SELECT pair.1 AS unit, pair.2 AS state FROM ({pairs})")
        due = f"{since} + {int(length)}"
        flip = f"if({since} > 0 AND {due} > {self.now}, {due}, {NEVER})"
        return Answer(f"({since} > 0 AND {due} <= {self.now})", flip)

    def _sample(self, leaf: Sample) -> Answer:
        salt = self.sources.params.bind(f"{leaf.salt}:", "String")
        hashed = f"reinterpretAsUInt64(reverse(substring(MD5(concat({salt}, toString(unit))), 1, 8)))"
        start, end = (self.sources.params.bind(float(each), "Float64") for each in (leaf.start, leaf.end))
        bucket = f"toFloat64({hashed}) / 18446744073709551616."
        return Answer(f"({bucket} >= {start} AND {bucket} < {end})")


def earliest(*moments: str) -> str:
    """The first of these moments, those that never come left out."""
    found = [each for each in dict.fromkeys(moments) if each != str(NEVER)]
    return str(NEVER) if not found else found[0] if len(found) == 1 else f"least({', '.join(found)})"


def truth_of_nothing(agg: Aggregate, wanted: Test) -> bool:
    """The test's outcome where nothing matches: sums and counts are 0, the rest is missing."""
    return meets(wanted, 0) if agg.fn in ZERO_OF_NOTHING else wanted.op is Op.MISSING


def _by_steps(moments: str, breaks: Sequence[int], truths: Sequence[bool], last: Duration) -> tuple[str, str]:
    """The truth of a count, given its outcome before the first break and from each on; and when it changes, as the
    counted, newest first, grow older than `last`. Several may do so at once, and then the count passes steps by."""

    def outcome(count: str) -> str:
        return f"{[int(each) for each in truths]}[arrayCount(b -> b <= {count}, {list(breaks)}) + 1]"

    now = outcome(f"length({moments})")
    reached = f"arrayFilter(b -> b <= length({moments}), {list(reversed(breaks))})"
    left = f"arrayCount(t -> t > {moments}[step], {moments})"
    step = f"arrayFirst(step -> {outcome(left)} != {now}, {reached})"
    return f"{now} = 1", f"if({step} = 0, {NEVER}, {moments}[{step}] + {last})"


def _newest_of(found: Collection[str]) -> str:
    """The ids of pairs (time, id), each once, newest first."""
    newest = f"arrayReverseSort(arrayDistinct(arrayConcat({', '.join(found)})))"
    return f"arrayMap(e -> e.2, arraySlice({newest}, 1, {SHOWN}))"


def _period(period: str, tz: str) -> str:
    """A number for the hour, day, week or month that the clock on the wall shows."""
    at = f"fromUnixTimestamp64Milli(occurred_at, {tz})"
    match period:
        case "hour":
            return f"toInt64(toDate({at})) * 24 + toHour({at})"
        case "week":
            return f"toInt64(toMonday({at}))"
        case "month":
            return f"toInt64(toStartOfMonth({at}))"
    return f"toInt64(toDate({at}))"
