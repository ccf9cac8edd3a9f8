"""The normal form of a definition, and its key: what means the same by its shape is one and the same.

Nested connectives are flattened, parts sorted and counted once, double negation is taken away, constants are folded.
De Morgan's laws are not applied: `not any` and `all not` keep their own sentences.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from segments.aggregates import kind_of_aggregate
from segments.comparison import Kind, kind_of_name
from segments.limits import MAX_NUMBER
from segments.names import Of
from segments.tree import (
    Absent,
    All,
    Any_,
    Attr,
    Calendar,
    Condition,
    Definition,
    Did,
    Entity,
    Filter,
    Fn,
    Leaf,
    Not,
    Op,
    Prop,
    Rel,
    Seq,
    Since,
    Step,
    Test,
    Window,
)
from segments.walk import filters_of, leaves_of, window_of
from segments.written import condition_json, filter_json

TRUE = All()
FALSE = Not(All())

_OPPOSITE = {Op.MISSING: Op.PRESENT, Op.PRESENT: Op.MISSING}
_AGE = (Op.OLDER, Op.NEWER)


def normal(definition: Definition) -> Definition:
    """The same for all definitions that mean the same by their shape; applied twice it changes nothing more."""
    form = partial(_condition, entity=definition.entity)
    return replace(definition, universe=form(definition.universe), where=form(definition.where))


def key(definition: Definition) -> str:
    """16 hexadecimal digits; equal where the normal forms are. The time zone is part of it where it is used."""
    form = normal(definition)
    parts = [condition_json(part, form.entity) for part in (form.universe, form.where)]
    zone = form.tz if any(_uses_zone(leaf, form.entity) for _, leaf in leaves_of(form)) else ""
    return _digest([form.entity.value, zone, *parts])


def shape(condition: Condition, *, entity: Entity) -> str:
    """The text of a condition's normal form: equal where two mean the same by their shape."""
    return _text(condition_json(_condition(condition, entity), entity))


def filter_shape(where: Filter, *, of: Of) -> str:
    return _text(filter_json(_filter(where, of), of))


def _digest(value: Any) -> str:
    return sha256(_text(value).encode()).hexdigest()[:16]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


# Connectives, of conditions and of filters


def _condition(condition: Condition, entity: Entity) -> Condition:
    form: Condition = _form(condition, _leaf, lambda part: _text(condition_json(part, entity)))
    return form


def _filter(where: Filter, of: Of) -> Filter:
    form: Filter = _form(where, _prop, lambda part: _text(filter_json(part, of)))
    return form


def _form(node: Any, leaf: Callable[[Any], Any], text: Callable[[Any], str]) -> Any:
    match node:
        case All(parts) | Any_(parts):
            return _joined(type(node), [_form(part, leaf, text) for part in parts], text)
        case Not(part):
            return _negated(_form(part, leaf, text))
        case _:
            return leaf(node)


def _joined(kind: type[All] | type[Any_], parts: Iterable[Any], text: Callable[[Any], str]) -> Any:
    neutral, decisive = (TRUE, FALSE) if kind is All else (FALSE, TRUE)
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))]
    if decisive in flat:
        return decisive
    # By their text, since Python takes 1 for True.
    by_text = {text(part): part for part in flat if part != neutral}
    ordered = tuple(by_text[each] for each in sorted(by_text))
    return kind(ordered) if len(ordered) > 1 else ordered[0] if ordered else neutral


def _negated(part: Any) -> Any:
    if isinstance(part, Not):
        return part.part
    if isinstance(part, Attr | Prop | Did | Rel) and part.test.op in _OPPOSITE:
        return replace(part, test=Test(_OPPOSITE[part.test.op]))
    return Not(part)


# Leaves


def _leaf(leaf: Leaf) -> Leaf:
    match leaf:
        case Attr():
            return replace(leaf, test=_test(leaf.test))
        case Did():
            return replace(leaf, step=_step(leaf.step), window=_window(leaf.window), test=_test(leaf.test))
        case Seq(steps, _, same, window):
            return replace(leaf, steps=tuple(map(_step, steps)), same=_names(same), window=_window(window))
        case Absent(after, absent, same=same):
            return replace(leaf, after=_step(after), absent=_step(absent), same=_names(same))
        case Rel():
            return replace(leaf, where=_filter(leaf.where, Of.LEAD), test=_test(leaf.test))
        case _:
            return leaf


def _step(step: Step) -> Step:
    where = _filter(step.where, Of.EVENT)
    return replace(step, names=_names(step.names), where=where, without=_names(step.without))


def _window(window: Window | None) -> Window | None:
    if isinstance(window, Since) and window.step is not None:
        return replace(window, step=_step(window.step))
    return window


def _prop(prop: Prop) -> Prop:
    return replace(prop, test=_test(prop.test))


def _test(test: Test) -> Test:
    if test.op in (Op.IN, Op.NOT_IN):
        values = {_text(value): value for value in map(_scalar, test.value)}
        return replace(test, value=tuple(values[each] for each in sorted(values)))
    if isinstance(test.value, tuple):
        return replace(test, value=tuple(map(_scalar, test.value)))
    return replace(test, value=_scalar(test.value))


def _scalar(value: Any) -> Any:
    """1.0 is written 1, for they are equal."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= MAX_NUMBER
    return int(value) if whole else value


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


# What depends on the time zone: calendars, and values that may be plain dates


def _uses_zone(leaf: Leaf, entity: Entity) -> bool:
    window = window_of(leaf)
    if isinstance(window, Calendar) or (isinstance(leaf, Did) and leaf.agg.fn is Fn.PERIODS):
        return True
    of = Of(entity.value)
    if isinstance(window, Since) and window.attr and kind_of_name(of, window.attr) is Kind.VALUE:
        return True
    inside = Of.LEAD if isinstance(leaf, Rel) else Of.EVENT
    dated = [(prop.test, kind_of_name(inside, prop.name)) for _, prop in filters_of(leaf, "")]
    if isinstance(leaf, Attr):
        dated.append((leaf.test, kind_of_name(of, leaf.name)))
    if isinstance(leaf, Did | Rel):
        dated.append((leaf.test, kind_of_aggregate(leaf.agg)))
    return any(test.op in _AGE and kind is Kind.VALUE for test, kind in dated)
