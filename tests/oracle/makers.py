"""Segments and histories with one interesting argument. Now is noon of 18 March 2026 in Shanghai, and times are told
in hours before it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from segments.tree import Aggregate, All, Attr, Definition, Did, Entity, Fn, Op, Prop, Rel, Step
from segments.tree import Test as Compare
from tests.oracle.history import Happened, History, TraitSaid
from tests.oracle.segments import next_change, truth
from tests.oracle.values import EPOCH, MS

HOUR, DAY = 3_600_000, 86_400_000


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MS


NOW = at("2026-03-18T12:00:00+08:00")
NUMBERS = itertools.count()
EVERYTHING = All()


def ago(hours: float, name: str = "viewed", /, ms: int = 0, **properties: Any) -> Happened:
    """So many hours before now, and milliseconds after that."""
    return Happened(f"{next(NUMBERS):09d}", name, NOW - int(hours * HOUR) + ms, properties)


def segment(
    where: Any, tz: str = "Asia/Shanghai", entity: Entity = Entity.PERSON, universe: Any = EVERYTHING
) -> Definition:
    return Definition(entity, tz, where, universe)


def holds(where: Any, *events: Happened, now: int = NOW, tz: str = "Asia/Shanghai", **known: Any) -> bool:
    return truth(segment(where, tz), History("p", events, **known), now, {})


def changes(where: Any, *events: Happened, now: int = NOW, tz: str = "Asia/Shanghai", **known: Any) -> int | None:
    """How long after now, in milliseconds."""
    found = next_change(segment(where, tz), History("p", events, **known), now, {})
    return None if found is None else found - now


def did(
    name: str | tuple[str, ...] = "viewed",
    op: Op = Op.GE,
    value: Any = 1,
    *,
    window: Any = None,
    fn: Fn = Fn.COUNT,
    of: str = "",
    where: Any = EVERYTHING,
    n: int = 0,
    period: str = "",
) -> Did:
    names = (name,) if isinstance(name, str) else name
    return Did(Step(names, where), window, Aggregate(fn, of, n, period), Compare(op, value))


def prop(name: str, op: Op = Op.EQ, value: Any = None, ref: str = "") -> Prop:
    return Prop(name, Compare(op, value, ref))


def attr(name: str, op: Op = Op.EQ, value: Any = None, ref: str = "") -> Attr:
    return Attr(name, Compare(op, value, ref))


def steps(*names: str) -> tuple[Step, ...]:
    return tuple(Step((name,)) for name in names)


def trait(name: str, value: Any, hours: float = 1) -> TraitSaid:
    return TraitSaid(NOW - int(hours * HOUR), f"e{next(NUMBERS)}", 0, "set", name, value)


def make_lead(hours: float, **known: Any) -> Mapping[str, Any]:
    return {"id": "ld_1", "source": "site", "stage": "new", "created_at": NOW - int(hours * HOUR), **known}


def rel(op: Op = Op.GE, value: Any = 1, where: Any = EVERYTHING, fn: Fn = Fn.COUNT, of: str = "") -> Rel:
    return Rel("lead", where, Aggregate(fn, of), Compare(op, value))
