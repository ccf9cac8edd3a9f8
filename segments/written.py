"""A segment's tree as JSON again: what `language.parse` reads as the same tree, with its defaults left out."""

from __future__ import annotations

from typing import Any

from cdp.moments import rfc3339
from segments.aggregates import kind_of_aggregate
from segments.comparison import Kind, kind_of_name
from segments.names import Of
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
    Window,
)
from segments.units import duration_text

Json = dict[str, Any]
VERSION = 1
"""Of the language; there is one."""


def as_json(definition: Definition) -> Json:
    written: Json = {"v": VERSION, "entity": definition.entity.value, "tz": definition.tz}
    if definition.universe != All():
        written["universe"] = condition_json(definition.universe, definition.entity)
    return written | {"where": condition_json(definition.where, definition.entity)}


def condition_json(condition: Condition, entity: Entity) -> Json:
    of = Of(entity.value)
    match condition:
        case All(parts):
            return {"all": [condition_json(part, entity) for part in parts]}
        case Any_(parts):
            return {"any": [condition_json(part, entity) for part in parts]}
        case Not(part):
            return {"not": condition_json(part, entity)}
        case Attr(name, test):
            return {"attr": name} | _test(test, kind_of_name(of, name))
        case Did(step, window, agg, test):
            return _step(step) | _window(window) | _agg(agg) | _test(test, kind_of_aggregate(agg))
        case Rel(rel, where, agg, test):
            return {"rel": rel} | _where(where, Of.LEAD) | _agg(agg) | _test(test, kind_of_aggregate(agg))
        case Seq(steps, within, same, window):
            return (
                {"seq": [_step(step) for step in steps]} | _duration("within", within) | _same(same) | _window(window)
            )
        case Absent(after, absent, wait, until, same):
            both = {"absent": _step(absent), "after": _step(after)}
            return both | _duration("for", wait) | _duration("until", until) | _same(same)
        case In(segment, held, as_of):
            moment = {} if as_of is None else {"as_of": rfc3339(as_of)}
            return {"in": segment} | _duration("for", held) | moment
        case Sample(salt, start, end):
            return {"sample": {"salt": salt, "from": start, "to": end}}


def filter_json(where: Any, of: Of) -> Json:
    match where:
        case All(parts):
            return {"all": [filter_json(part, of) for part in parts]}
        case Any_(parts):
            return {"any": [filter_json(part, of) for part in parts]}
        case Not(part):
            return {"not": filter_json(part, of)}
        case Prop(name, test):
            return {"prop": name} | _test(test, kind_of_name(of, name))
    raise TypeError(type(where))


def _step(step: Step) -> Json:
    without: Json = {"without": list(step.without)} if step.without else {}
    return {"did": _names(step.names)} | _where(step.where, Of.EVENT) | _duration("gap", step.gap) | without


def _names(names: tuple[str, ...]) -> str | list[str]:
    return list(names) if len(names) > 1 else names[0] if names else "*"


def _where(where: Any, of: Of) -> Json:
    return {} if where == All() else {"where": filter_json(where, of)}


def _test(test: Test, kind: Kind) -> Json:
    if test.ref:
        return {"op": test.op.value, "ref": test.ref}
    if test.op in (Op.MISSING, Op.PRESENT):
        return {"op": test.op.value}
    return {"op": test.op.value, "value": _value(test, kind)}


def _value(test: Test, kind: Kind) -> Any:
    if test.op in (Op.OLDER, Op.NEWER):
        return duration_text(test.value)
    if kind is not Kind.MOMENT:
        return list(test.value) if isinstance(test.value, tuple) else test.value
    if isinstance(test.value, tuple):
        return [rfc3339(at) for at in test.value]
    return rfc3339(test.value)


def _agg(agg: Aggregate) -> Json:
    if agg == Aggregate(Fn.COUNT):
        return {}
    fields = {"of": agg.of, "n": agg.n, "period": agg.period}
    return {"agg": {"fn": agg.fn.value} | {name: value for name, value in fields.items() if value}}


def _window(window: Window | None) -> Json:
    return {} if window is None else {"window": _written_window(window)}


def _written_window(window: Window) -> Json:
    match window:
        case Rolling(last, until):
            return _duration("last", last) | _duration("until", until or None)
        case Calendar(unit, back, count):
            return {"calendar": unit, "back": back, "count": count}
        case Fixed(start, end):
            return {"from": rfc3339(start)} | ({} if end is None else {"to": rfc3339(end)})
        case Since(attr, step, which, length):
            since = {"attr": attr} if step is None else _step(step) | {"which": which}
            return {"since": since} | _duration("for", length)


def _duration(name: str, duration: int | None) -> Json:
    return {} if duration is None else {name: duration_text(duration)}


def _same(same: tuple[str, ...]) -> Json:
    return {"same": list(same)} if same else {}
