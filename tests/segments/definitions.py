"""Segments of every kind about the worlds of `tests.segments.histories`, such as the language lets pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segments.tree import (
    Absent,
    Aggregate,
    All,
    Any_,
    Attr,
    Calendar,
    Definition,
    Did,
    Entity,
    Fixed,
    Fn,
    In,
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
)
from tests.segments.choices import Choices
from tests.segments.clocks import UNITS, ZONES, Clock
from tests.segments.words import (
    FIELD_VALUES,
    FIELDS,
    NAMES,
    NUMBERS,
    OFTEN,
    PROPERTIES,
    SCALARS,
    SOURCES,
    STAGES,
    TRAITS,
)

COUNTS = (1, 2, 0, 3, -1)
PATTERNS = ("^A", "北", "[0-9]+$", "a|b", "^$", "(?i)^TRUE", "京$")
TEXTS = ("A", "a", "", "北", "长长", "%", "'", "_'\\")
LEAD_TEXTS = {"source": SOURCES, "channel": ("懂车帝", "", "site"), "stage": STAGES, "owner": ("li",), "id": ("ld_0",)}
LEAD_TEXTS |= {"status": STAGES, "campaign.name": ("春季's", ""), "interest.model": ("A", "北京")}

EQUALS = (Op.EQ, Op.NE)
ORDER = (Op.GE, Op.LT, Op.GT, Op.LE)
LISTS = (Op.IN, Op.NOT_IN)
TEXTUAL = (Op.CONTAINS, Op.STARTS, Op.MATCHES)
PRESENCE = (Op.PRESENT, Op.MISSING)
AGES = (Op.OLDER, Op.NEWER)
ANY_OP = (*EQUALS, *ORDER, *LISTS, Op.BETWEEN, *TEXTUAL, *PRESENCE, *AGES, Op.EQ, Op.NE)
REF_OPS = (*EQUALS, *ORDER, Op.CONTAINS, Op.STARTS)


class Maker:
    """Makes a segment out of choices. `segments` are those that it may name."""

    def __init__(self, choices: Choices, clock: Clock, entity: Entity, segments: Sequence[str]) -> None:
        self._choices, self._clock, self._entity, self._segments = choices, clock, entity, segments

    def definition(self) -> Definition:
        tz = self._choices.of((self._clock.tz, self._clock.tz, *ZONES))
        where = self._condition(3)
        universe = self._condition(1) if self._choices.once_in(4) else All()
        return Definition(self._entity, tz, where, universe)

    def _condition(self, depth: int) -> Any:
        return self._connected(self._leaf, lambda: self._condition(depth - 1), depth, once_in=2)

    def _filter(self, prop: Callable[[], Prop], depth: int = 2) -> Any:
        return self._connected(prop, lambda: self._filter(prop, depth - 1), depth, once_in=4)

    def _connected(self, leaf: Callable[[], Any], part: Callable[[], Any], depth: int, *, once_in: int) -> Any:
        if not depth or not self._choices.once_in(once_in):
            return leaf()
        kind = self._choices.below(3)
        if kind == 2:
            return Not(part())
        parts = tuple(part() for _ in range(1 + self._choices.below(3)))
        return Any_(parts) if kind else All(parts if not self._choices.once_in(16) else ())

    # Leaves

    def _leaf(self) -> Any:
        kinds = [self._did, self._did, self._did, self._seq, self._absent, self._absent, self._attr, self._sample]
        kinds += [self._rel] if self._entity is Entity.PERSON else [self._attr]
        kinds += [self._in] if self._segments else [self._did]
        return self._choices.of(kinds)()

    def _did(self) -> Did:
        step, window = self._step(), self._window()
        agg = self._choices.of((*Fn, Fn.COUNT, Fn.COUNT, Fn.COUNT, Fn.SINCE_LAST))
        return Did(step, window, *self._aggregate(agg, self._event_property, "price"))

    def _seq(self) -> Seq:
        c = self._choices
        steps = [self._step(), *(self._next_step() for _ in range(1 + c.of((0, 0, 1, 1, 2))))]
        within = self._clock.duration(c) * c.of((1, 2)) if c.once_in(3) else None
        return Seq(tuple(steps), within, self._same(), self._window() if c.once_in(3) else None)

    def _next_step(self) -> Step:
        gap = self._clock.duration(self._choices) if self._choices.once_in(4) else None
        without = tuple(sorted(self._choices.some(NAMES))) if self._choices.once_in(3) else ()
        return Step(self._names(), self._event_filter(), gap, without)

    def _absent(self) -> Absent:
        after, absent, wait = self._step(), self._step(), self._clock.duration(self._choices)
        until = wait + self._clock.duration(self._choices) if self._choices.once_in(2) else None
        return Absent(after, absent, wait, until, self._same())

    def _same(self) -> tuple[str, ...]:
        return self._choices.some(("model", "a.b", "$page.path"), least=0) if self._choices.once_in(3) else ()

    def _attr(self) -> Attr:
        if self._entity is Entity.LEAD:
            return Attr(*self._lead_test())
        name = self._choices.of((*TRAITS, "$events", "$last_seen", "$first_seen"))
        if name.endswith("_seen"):
            ref = "$first_seen" if name == "$last_seen" else "$last_seen"
            return Attr(name, self._moment_test(ref))
        if name == "$events":
            return Attr(name, self._number_test(COUNTS))
        return Attr(name, self._value_test(SCALARS, ref=self._choices.of(TRAITS)))

    def _rel(self) -> Rel:
        where = self._filter(lambda: Prop(*self._lead_test())) if self._choices.once_in(2) else All()
        fn = self._choices.of((Fn.COUNT, Fn.COUNT, Fn.SUM, Fn.MIN, Fn.MAX, Fn.AVG))
        return Rel("lead", where, *self._aggregate(fn, lambda: "interest.model", "interest.budget"))

    def _in(self) -> In:
        segment, kind = self._choices.of(self._segments), self._choices.below(4)
        if kind == 2:
            return In(segment, held=self._clock.duration(self._choices))
        return In(segment, as_of=self._clock.past(self._choices) if kind == 3 else None)

    def _sample(self) -> Sample:
        start, end = self._choices.of(((0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.0, 1.0)))
        return Sample(self._choices.of(("s1", "盐's")), start, end)

    # Their parts

    def _step(self) -> Step:
        return Step(self._names(), self._event_filter())

    def _names(self) -> tuple[str, ...]:
        if self._choices.once_in(5):
            return ()
        names = self._choices.some(NAMES) if self._choices.once_in(4) else (self._choices.of(OFTEN),)
        return tuple(sorted(names))

    def _event_filter(self) -> Any:
        return self._filter(self._prop) if self._choices.once_in(4) else All()

    def _prop(self) -> Prop:
        name = self._event_property()
        values = FIELD_VALUES if name.startswith("$") else SCALARS
        return Prop(name, self._value_test(values, ref=self._event_property(), often_moment=name == "when"))

    def _event_property(self) -> str:
        return self._choices.of((*PROPERTIES, *PROPERTIES, *FIELDS))

    def _window(self) -> Any:
        c, clock = self._choices, self._clock
        match c.below(10):
            case 0 | 1:
                return None
            case 2 | 3 | 4 | 5:
                last = clock.duration(c)
                shorter = [each for each in clock.durations if each < last]
                return Rolling(last, c.of(shorter) if shorter and c.once_in(3) else 0)
            case 6 | 7:
                back = c.below(4)
                return Calendar(c.of(UNITS), back, 1 + c.below(back + 1))
            case 8:
                start, end = sorted((clock.moment(c), clock.moment(c)))
                return Fixed(start, None if c.once_in(3) else end + 1)
        return self._since()

    def _since(self) -> Since:
        length, attr = self._clock.duration(self._choices), "created_at"
        if self._entity is Entity.PERSON:
            attr = self._choices.of(("delivered_at", "$first_seen", "$last_seen", "score"))
        if self._choices.once_in(2):
            return Since(attr, None, "last", length)
        return Since("", self._step(), self._choices.of(("last", "first")), length)

    def _aggregate(self, fn: Fn, of: Callable[[], str], number: str) -> tuple[Aggregate, Test]:
        """`number` is a property that often holds one."""
        c = self._choices
        match fn:
            case Fn.COUNT:
                return Aggregate(), self._number_test(COUNTS)
            case Fn.PERIODS:
                return Aggregate(fn, period=c.of(("day", "hour", "week", "month"))), self._number_test(COUNTS)
            case Fn.DISTINCT:
                return Aggregate(fn, of()), self._number_test(COUNTS)
            case Fn.SUM:
                return Aggregate(fn, of() if c.once_in(4) else number), self._number_test(NUMBERS)
            case Fn.AVG | Fn.MIN | Fn.MAX:
                return Aggregate(fn, of() if c.once_in(4) else number), self._number_test(NUMBERS, PRESENCE)
            case Fn.SINCE_FIRST | Fn.SINCE_LAST:
                return Aggregate(fn), self._age_test(c.of((*AGES, *PRESENCE)))
        agg = Aggregate(fn, "" if c.once_in(3) else of(), 1 + c.below(3) if fn is Fn.NTH else 0)
        return agg, self._value_test(SCALARS) if agg.of else self._moment_test()

    # Tests

    def _lead_test(self) -> tuple[str, Test]:
        name = self._choices.of((*LEAD_TEXTS, "created_at", "interest.budget", "contact.phone"))
        if name == "created_at":
            return name, self._moment_test()
        if name == "contact.phone":
            return name, Test(self._choices.of(PRESENCE))
        if name == "interest.budget":
            return name, self._value_test((1, 2.5, 2, "1"))
        return name, self._value_test(LEAD_TEXTS[name], ref=self._choices.of(tuple(LEAD_TEXTS)))

    def _number_test(self, pool: Sequence[Any], others: Sequence[Op] = ()) -> Test:
        op = self._choices.of((*ORDER, *EQUALS, Op.BETWEEN, *LISTS, *others))
        return self._test(op, lambda: self._choices.of(pool))

    def _moment_test(self, ref: str = "") -> Test:
        op = self._choices.of((*AGES, *ORDER, *EQUALS, Op.BETWEEN, *PRESENCE, *AGES))
        if ref and op in (*ORDER, *EQUALS) and self._choices.once_in(3):
            return Test(op, ref=ref)
        return self._test(op, lambda: self._clock.literal(self._choices))

    def _value_test(self, pool: Sequence[Any], *, ref: str = "", often_moment: bool = False) -> Test:
        op = self._choices.of(AGES) if often_moment and self._choices.once_in(2) else self._choices.of(ANY_OP)
        if ref and op in REF_OPS and self._choices.once_in(4):
            return Test(op, ref=ref)
        if op is Op.MATCHES:
            return Test(op, self._choices.of(PATTERNS))
        if op is Op.STARTS:
            return Test(op, self._choices.of(TEXTS))
        if op in ORDER or op is Op.BETWEEN:
            kind = self._choices.of((int, str))
            pool = [each for each in pool if isinstance(each, str) == (kind is str) and not isinstance(each, bool)]
            return self._test(op, lambda: self._choices.of(pool or ("A",)))
        return self._test(op, lambda: self._choices.of(pool))

    def _test(self, op: Op, value: Callable[[], Any]) -> Test:
        if op in AGES:
            return self._age_test(op)
        if op in PRESENCE:
            return Test(op)
        if op is Op.BETWEEN:
            return Test(op, (value(), value()))
        if op in LISTS:
            return Test(op, tuple(dict.fromkeys(value() for _ in range(1 + self._choices.below(3)))))
        return Test(op, value())

    def _age_test(self, op: Op) -> Test:
        return Test(op) if op in PRESENCE else Test(op, self._clock.duration(self._choices))
