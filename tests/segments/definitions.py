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
from tests.segments.clocks import ZONES, Clock
from tests.segments.words import DELIVERED, FIELD_VALUES, FNS, LEAVES, NUMBERS, SOURCES, STAGES, WHEN, WINDOWS, Words

COUNTS = (1, 2, 0, 3, -1)
PATTERNS = ("^A", "北", "[0-9]+$", "a|b", "^$", "(?i)^TRUE", "京$", "北京?$")
TEXTS = ("A", "a", "ab", "北", "长长", "%", "'", "_'\\")
LEAD_TEXTS = {"source": SOURCES, "channel": ("懂车帝", "", "site"), "stage": STAGES, "owner": ("li",), "id": ("ld_0",)}
LEAD_TEXTS |= {"status": STAGES, "campaign.name": ("春季's", ""), "interest.model": ("A", "北京")}

EQUALS = (Op.EQ, Op.NE)
ORDER = (Op.GE, Op.LT, Op.GT, Op.LE)
LISTS = (Op.IN, Op.NOT_IN)
TEXTUAL = (Op.CONTAINS, Op.STARTS, Op.MATCHES)
PRESENCE = (Op.PRESENT, Op.MISSING)
AGES = (Op.OLDER, Op.NEWER)
ANY_OP = (*EQUALS, *ORDER, *LISTS, Op.BETWEEN, *TEXTUAL, *PRESENCE, *AGES, Op.EQ, Op.NE, Op.EQ, Op.CONTAINS)
REF_OPS = (*EQUALS, *ORDER, Op.CONTAINS, Op.STARTS)


class Maker:
    """Makes a segment out of choices. `segments` are those that it may name."""

    def __init__(self, choices: Choices, clock: Clock, words: Words, entity: Entity, segments: Sequence[str]) -> None:
        self._choices, self._clock, self._words = choices, clock, words
        self._entity, self._segments = entity, segments

    def definition(self) -> Definition:
        tz = self._choices.of((self._clock.tz, self._clock.tz, *ZONES))
        where = self._condition(3)
        universe = self._condition(1) if self._choices.once_in(4) else All()
        return Definition(self._entity, tz, where, universe)

    def _condition(self, depth: int) -> Any:
        return self._connected(self._leaf, lambda: self._condition(depth - 1), depth, once_in=3)

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
        kind = self._choices.often(self._words.leaf, LEAVES)
        if kind is Rel and self._entity is Entity.LEAD:
            kind = Attr
        if kind is In and not self._segments:
            kind = Did
        leaves = {Did: self._did, Seq: self._seq, Absent: self._absent, Attr: self._attr, Rel: self._rel}
        return {**leaves, In: self._in, Sample: self._sample}[kind]()

    def _did(self) -> Did:
        step, window = self._step(), self._window()
        agg = self._choices.often(self._words.fn, FNS)
        return Did(step, window, *self._aggregate(agg, self._event_property))

    def _seq(self) -> Seq:
        c = self._choices
        steps = [self._step(), *(self._next_step() for _ in range(1 + c.of((0, 0, 1, 1, 2))))]
        within = self._clock.duration(c) * c.of((1, 2)) if c.once_in(3) else None
        return Seq(tuple(steps), within, self._same(), self._window() if c.once_in(3) else None)

    def _next_step(self) -> Step:
        gap = self._clock.duration(self._choices) if self._choices.once_in(4) else None
        without = tuple(sorted(set(self._choices.some(self._words.names)))) if self._choices.once_in(3) else ()
        return Step(self._names(), self._event_filter(), gap, without)

    def _absent(self) -> Absent:
        after, absent, wait = self._step(), self._step(), self._clock.duration(self._choices)
        until = wait + self._clock.duration(self._choices) if self._choices.once_in(2) else None
        return Absent(after, absent, wait, until, self._same())

    def _same(self) -> tuple[str, ...]:
        return self._choices.some((*self._words.properties, *self._words.fields)) if self._choices.once_in(3) else ()

    def _attr(self) -> Attr:
        if self._entity is Entity.LEAD:
            return Attr(*self._lead_test())
        name = self._choices.of(
            (*self._words.traits[:1] * 4, *self._words.traits[1:] * 2, "$events", "$last_seen", "$first_seen")
        )
        if name.endswith("_seen"):
            ref = "$first_seen" if name == "$last_seen" else "$last_seen"
            return Attr(name, self._moment_test(ref))
        if name == "$events":
            return Attr(name, self._number_test(COUNTS))
        if self._choices.once_in(3):
            return Attr(name, self._number_test(NUMBERS, PRESENCE))
        return Attr(
            name,
            self._value_test(
                self._words.scalars, ref=self._choices.of(self._words.traits), often_moment=name == DELIVERED
            ),
        )

    def _rel(self) -> Rel:
        where = self._filter(lambda: Prop(*self._lead_test())) if self._choices.once_in(2) else All()
        fn = self._choices.of((Fn.COUNT, Fn.COUNT, Fn.SUM, Fn.MIN, Fn.MAX, Fn.AVG))
        return Rel("lead", where, *self._aggregate(fn, lambda: "campaign.cost"))

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
        names = (
            self._choices.some(self._words.names)
            if self._choices.once_in(4)
            else (self._choices.of(self._words.names),)
        )
        return tuple(sorted(set(names)))

    def _event_filter(self) -> Any:
        return self._filter(self._prop) if self._choices.once_in(4) else All()

    def _prop(self) -> Prop:
        name = self._event_property()
        values = FIELD_VALUES if name.startswith("$") else self._words.scalars
        return Prop(name, self._value_test(values, ref=self._event_property(), often_moment=name == WHEN))

    def _event_property(self) -> str:
        return self._choices.of((*self._words.properties[:1], *self._words.properties, *self._words.fields))

    def _window(self) -> Any:
        kind = self._choices.often(self._words.window, WINDOWS)
        windows = {Rolling: self._rolling, Calendar: self._calendar, Fixed: self._fixed, Since: self._since}
        return windows[kind]() if kind in windows else None

    def _rolling(self) -> Rolling:
        last = self._clock.duration(self._choices)
        shorter = [each for each in self._clock.durations if each < last]
        return Rolling(last, self._choices.of(shorter) if shorter and self._choices.once_in(3) else 0)

    def _calendar(self) -> Calendar:
        back = self._choices.below(4)
        return Calendar(self._choices.of(self._clock.units), back, 1 + self._choices.below(back + 1))

    def _fixed(self) -> Fixed:
        start, end = sorted((self._clock.moment(self._choices), self._clock.moment(self._choices)))
        return Fixed(start, None if start == end or self._choices.once_in(4) else end)

    def _since(self) -> Since:
        length, attr = self._clock.duration(self._choices), "created_at"
        if self._entity is Entity.PERSON:
            attr = self._choices.of((DELIVERED, "$first_seen", "$last_seen", *self._words.traits[:1]))
        if self._choices.once_in(2):
            return Since(attr, None, "", length)
        return Since("", self._step(), self._choices.of(("last", "first")), length)

    def _aggregate(self, fn: Fn, of: Callable[[], str]) -> tuple[Aggregate, Test]:
        c = self._choices
        match fn:
            case Fn.COUNT:
                return Aggregate(), self._number_test(COUNTS)
            case Fn.PERIODS:
                return Aggregate(fn, period=c.of(("day", "hour", "week", "month"))), self._number_test(COUNTS)
            case Fn.DISTINCT:
                return Aggregate(fn, of()), self._number_test(COUNTS)
            case Fn.SUM:
                return Aggregate(fn, of()), self._number_test(NUMBERS)
            case Fn.AVG | Fn.MIN | Fn.MAX:
                return Aggregate(fn, of()), self._number_test(NUMBERS, PRESENCE)
            case Fn.SINCE_FIRST | Fn.SINCE_LAST:
                return Aggregate(fn), self._age_test(c.of((*AGES, *PRESENCE)))
        agg = Aggregate(fn, "" if c.once_in(3) else of(), 1 + c.below(3) if fn is Fn.NTH else 0)
        return agg, self._value_test(self._words.scalars) if agg.of else self._moment_test()

    # Tests

    def _lead_test(self) -> tuple[str, Test]:
        name = self._choices.of((*LEAD_TEXTS, "created_at", "campaign.cost", "contact.phone"))
        if name == "created_at":
            return name, self._moment_test()
        if name == "contact.phone":
            return name, Test(self._choices.of(PRESENCE))
        if name == "campaign.cost":
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
            return Test(op, self._choices.of([each for each in pool if each and isinstance(each, str)] or TEXTS)[:500])
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
            return Test(op, tuple(value() for _ in range(1 + self._choices.below(3))))
        return Test(op, value())

    def _age_test(self, op: Op) -> Test:
        return Test(op) if op in PRESENCE else Test(op, self._choices.of((*self._clock.durations, 0)))
