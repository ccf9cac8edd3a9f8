"""A segment read aloud, in Chinese or English: one walk over the tree, the phrases of `segments.phrases`.

What happens to missing values and to zero is said wherever it is not plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segments.aggregates import kind_of_aggregate
from segments.comparison import Kind, kind_of_name
from segments.counts import CHOSEN, ZERO_OF_NOTHING, meets
from segments.names import Of
from segments.phrases import LANGS, PERIODS, PHRASES, UNITS, Lang, fill, glue
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
from segments.units import duration_parts, local_moment

LISTED = 10
"""Values of a list that are said; of more the number is told."""

_MISSABLE = (Kind.VALUE, Kind.NUMBER, Kind.MOMENT, Kind.SINCE)
_THERE = (Op.MISSING, Op.PRESENT)
_INVERSE = {Op.EQ: Op.NE, Op.NE: Op.EQ, Op.GT: Op.LE, Op.LE: Op.GT, Op.GE: Op.LT, Op.LT: Op.GE}
_INVERSE |= {Op.IN: Op.NOT_IN, Op.NOT_IN: Op.IN}
"""Of what is never missing."""
_AT_LEAST_ONCE, _NEVER = Test(Op.GE, 1), Test(Op.EQ, 0)


def sentence(definition: Definition, lang: Lang, *, names: Mapping[str, str] | None = None, home: str = "") -> str:
    """The whole definition as one sentence; `names` are the display names of events, properties and segments, `home` is
    the time zone that goes without saying."""
    voice = _Voice(lang, definition, names or {})
    entity = definition.entity.value
    if definition.where == All():
        said = voice.say(f"all {entity}")
    else:
        said = voice.say(entity, what=voice.condition(definition.where, outer=True))
    if definition.universe != All():
        said = voice.say(f"{entity} within", among=voice.condition(definition.universe, outer=True), sentence=said)
    return said if home in ("", definition.tz) else voice.say("elsewhere", sentence=said, tz=definition.tz)


def of_leaf(leaf: Leaf, lang: Lang, definition: Definition, *, names: Mapping[str, str] | None = None) -> str:
    """One leaf of the definition, as it is said inside the sentence."""
    return _Voice(lang, definition, names or {}).leaf(leaf)


@dataclass(frozen=True, slots=True)
class _Voice:
    lang: Lang
    definition: Definition
    names: Mapping[str, str]

    def say(self, phrase: str, **parts: Any) -> str:
        return fill(phrase, self.lang, parts)

    def _joined(self, joint: str, parts: Iterable[str]) -> str:
        first, *rest = [*parts] or [""]
        return glue([first, *(piece for part in rest for piece in (self.say(joint), part))])

    # Connectives

    def condition(self, node: Condition | Filter, of: Of | None = None, *, outer: bool = False) -> str:
        """Of filters `of` tells whose properties they are about."""
        match node:
            case All(()) | Not(Not(All(()))):
                return self.say("always")
            case Not(All(())):
                return self.say("never")
            case All((part,)) | Any_((part,)):
                return self.condition(part, of, outer=outer)
            case All(parts) | Any_(parts):
                word = "and" if isinstance(node, All) else "or"
                joint = word if outer and of is None else f"inner {word}"
                joined = self._joined(joint, [self.condition(part, of) for part in parts])
                return joined if outer else self.say("group", what=joined)
            case Not(Not(part)):
                return self.condition(part, of, outer=outer)
            case Not(part):
                return self._negated(part, of)
            case Prop(name, test):
                return self._test(test, self._name(name), kind_of_name(of or Of.EVENT, name))
            case _:
                return self.leaf(node)

    def _negated(self, part: Any, of: Of | None) -> str:
        match part:
            case Attr(name, test) | Prop(name, test):
                kind = kind_of_name(of or Of(self.definition.entity.value), name)
                if test.op in _THERE:
                    return self._test(_opposite(test), self._name(name), kind)
                test = _single(test)
                if test.op in (Op.EQ, Op.IN):
                    phrase = "not is" if test.op is Op.EQ else "not in"
                    return self.say(phrase, x=self._name(name), v=self._value(test, kind))
                return self.say("not, or missing", what=self.condition(part, of))
            case In(segment, None, None):
                return self.say("not in segment", segment=self._name(segment))
            case Did() | Rel():
                return self._negated_amount(part)
            case _:
                return self.say("not", what=self.condition(part, of, outer=True))

    def _negated_amount(self, leaf: Did | Rel) -> str:
        if leaf.agg == Aggregate() and leaf.test in (_AT_LEAST_ONCE, _NEVER):
            return self._amount(leaf, _NEVER if leaf.test == _AT_LEAST_ONCE else _AT_LEAST_ONCE)
        if leaf.test.op in _THERE:
            return self._amount(leaf, _opposite(leaf.test))
        kind = kind_of_aggregate(leaf.agg)
        if kind in _MISSABLE:
            return self.say("not, or missing", what=self.leaf(leaf))
        if leaf.test.op in _INVERSE:
            return self._amount(leaf, replace(leaf.test, op=_INVERSE[leaf.test.op]))
        said = self.say("not", what=self._figure(leaf, leaf.test))
        return said if meets(leaf.test, 0) else self.say("zero too", what=said)

    # Leaves

    def leaf(self, leaf: Leaf) -> str:
        match leaf:
            case Attr(name, test):
                return self._test(test, self._name(name), kind_of_name(Of(self.definition.entity.value), name))
            case Did() | Rel():
                return self._amount(leaf, leaf.test)
            case Seq():
                return self._sequence(leaf)
            case Absent():
                return self._absence(leaf)
            case In(segment, held, as_of):
                return self._membership(self._name(segment), held, as_of)
            case Sample(salt, start, end):
                return self.say("sample", salt=_plain(salt), start=f"{start * 100:g}", end=f"{end * 100:g}")

    def _amount(self, leaf: Did | Rel, test: Test) -> str:
        yes, no = ("has", "has not") if isinstance(leaf, Rel) else ("did", "did not")
        if leaf.agg == Aggregate() and test == _AT_LEAST_ONCE:
            return self._done(leaf, yes)
        if leaf.agg == Aggregate() and _is_never(test):
            return self._done(leaf, no)
        said = self._figure(leaf, test)
        zero = leaf.agg.fn in ZERO_OF_NOTHING and meets(test, 0)
        return self.say("zero too", what=said) if zero else said

    def _done(self, leaf: Did | Rel, phrase: str) -> str:
        what, when = self._counted(leaf, "any event")
        return self.say(phrase, what=what, when=when)

    def _figure(self, leaf: Did | Rel, test: Test) -> str:
        """An aggregate and what it is compared with."""
        return self._test(test, self._aggregate(leaf), kind_of_aggregate(leaf.agg))

    def _counted(self, leaf: Did | Rel, any_event: str) -> tuple[str, str]:
        """What is meant, and when."""
        if isinstance(leaf, Rel):
            return self._with(self.say("leads"), leaf.where, Of.LEAD), ""
        return self._step(leaf.step, any_event), self._window(leaf.window)

    def _aggregate(self, leaf: Did | Rel) -> str:
        agg = leaf.agg
        fn = {Fn.SINCE_FIRST: Fn.FIRST, Fn.SINCE_LAST: Fn.LAST}.get(agg.fn, agg.fn)
        what, when = self._counted(leaf, "one event" if fn in CHOSEN else "events")
        phrase = "count of leads" if isinstance(leaf, Rel) and fn is Fn.COUNT else fn.value
        of = self._name(agg.of) if agg.of else self.say("time")
        period = PERIODS[agg.period][LANGS.index(self.lang)] if agg.period else ""
        return self.say(phrase, what=what, when=when, of=of, n=agg.n, period=period)

    def _sequence(self, leaf: Seq) -> str:
        steps = self._joined("then", [self._step(step) for step in leaf.steps])
        notes = "" if leaf.within is None else self.say("within", within=self._duration(leaf.within))
        if leaf.same:
            notes += self.say("same", names=self._list(leaf.same))
        return self.say("seq", when=self._window(leaf.window), steps=steps, notes=notes)

    def _absence(self, leaf: Absent) -> str:
        return self.say(
            "absent" if leaf.wait else "absent at once",
            after=self._step(leaf.after),
            absent=self._step(leaf.absent),
            wait=self._duration(leaf.wait),
            until="" if leaf.until is None else self.say("until", until=self._duration(leaf.until)),
            same=self.say("each", names=self._list(leaf.same)) if leaf.same else "",
        )

    def _membership(self, segment: str, held: Duration | None, as_of: int | None) -> str:
        if held is not None:
            return self.say("in segment for", segment=segment, held=self._duration(held))
        if as_of is not None:
            return self.say("in segment at", segment=segment, at=local_moment(as_of, self.definition.tz))
        return self.say("in segment", segment=segment)

    # Steps and windows

    def _step(self, step: Step, any_event: str = "any event") -> str:
        names = self._joined("or name", map(self._name, step.names)) or self.say(any_event)
        notes = [] if step.where == All() else [self.condition(step.where, Of.EVENT, outer=True)]
        if step.gap is not None:
            notes.append(self.say("gap", gap=self._duration(step.gap)))
        if step.without:
            without = self._joined("or name", map(self._name, step.without))
            notes.append(self.say("without", names=without))
        return self.say("with", what=names, where=self._joined("note", notes)) if notes else names

    def _with(self, what: str, where: Filter, of: Of) -> str:
        return what if where == All() else self.say("with", what=what, where=self.condition(where, of, outer=True))

    def _window(self, window: Window | None) -> str:
        match window:
            case None:
                return ""
            case Rolling(last, until):
                phrase = "rolling until" if until else "rolling"
                return self.say(phrase, last=self._duration(last), until=self._duration(until))
            case Calendar():
                return self._calendar(window)
            case Fixed(start, end):
                at = [local_moment(each, self.definition.tz) for each in (start, end) if each is not None]
                return self.say("fixed" if end is None else "fixed until", start=at[0], end=at[-1])
            case Since(attr, step, which, length):
                if step is None:
                    moment = self.say("since attr", attr=self._name(attr))
                else:
                    moment = self.say(f"since {which}", what=self._step(step, "one event"))
                return self.say("since", moment=moment, length=self._duration(length))

    def _calendar(self, window: Calendar) -> str:
        if window.count == 1 and window.back <= 1:
            return self.say(f"calendar {window.unit} {window.back}")
        count, back = self._units(window.count, window.unit), self._units(window.back, window.unit)
        if window.count == window.back + 1:
            return self.say("calendar to now", count=count)
        if window.count == window.back:
            return self.say("calendar before", count=count)
        return self.say("calendar", count=count, back=back)

    # Comparisons and values

    def _test(self, test: Test, x: str, kind: Kind) -> str:
        test = _single(test)
        if test.op is Op.BETWEEN:
            low, high = (self._scalar(each, kind) for each in test.value)
            return self.say("between", x=x, low=low, high=high)
        return self.say(self._phrase(test, kind), x=x, v=self._value(test, kind))

    def _phrase(self, test: Test, kind: Kind) -> str:
        missable = kind in _MISSABLE
        match test.op:
            case Op.EQ:
                return "is" if isinstance(test.value, str | bool) else "="
            case Op.NE:
                return "is not" if missable else "!="
            case Op.IN | Op.NOT_IN if not missable:
                return "one of" if test.op is Op.IN else "none of"
            case _:
                return test.op.value

    def _value(self, test: Test, kind: Kind) -> str:
        if test.ref:
            return self.say("other", name=self._name(test.ref))
        if test.op in _THERE:
            return ""
        if test.op in (Op.OLDER, Op.NEWER):
            return self._duration(test.value)
        if not isinstance(test.value, tuple):
            return self._scalar(test.value, kind)
        listed = self._joined("comma", [self._scalar(each, kind) for each in test.value[:LISTED]])
        count = len(test.value)
        return listed if count <= LISTED else self.say("more", listed=listed, count=count)

    def _scalar(self, value: Any, kind: Kind) -> str:
        if isinstance(value, bool):
            return self.say("true" if value else "false")
        if isinstance(value, str):
            return self.say("text", text=_plain(value)) if value else self.say("no text")
        if kind is Kind.MOMENT:
            return local_moment(value, self.definition.tz)
        return str(int(value) if value == int(value) and abs(value) < 2**53 else value)

    def _name(self, name: str) -> str:
        if name in self.names:
            return _plain(self.names[name])
        return self.say(name) if name.startswith("$") and name in PHRASES else _plain(name)

    def _list(self, names: Sequence[str]) -> str:
        return self._joined("comma", map(self._name, names))

    def _duration(self, duration: Duration) -> str:
        return " ".join(self._units(amount, unit) for amount, unit in duration_parts(duration))

    def _units(self, amount: int, unit: str) -> str:
        chinese, one, several = UNITS[unit]
        if self.lang == "zh":
            return chinese.format(n=amount)
        return (one if amount == 1 else several).format(n=amount)


def _plain(text: str) -> str:
    """Without line breaks and signs that change how the rest is shown."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _single(test: Test) -> Test:
    """One of one value is that value."""
    if test.op in (Op.IN, Op.NOT_IN) and len(test.value) == 1:
        return Test(Op.EQ if test.op is Op.IN else Op.NE, test.value[0])
    return test


def _opposite(test: Test) -> Test:
    return Test(Op.MISSING if test.op is Op.PRESENT else Op.PRESENT)


def _is_never(test: Test) -> bool:
    return test in (_NEVER, Test(Op.LT, 1), Test(Op.LE, 0))
