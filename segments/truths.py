"""Parts of a segment that are always or never true, whoever is looked at: mostly slips, so they are warned of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

from segments.aggregates import kind_of_aggregate
from segments.comparison import Kind
from segments.counts import meets
from segments.faults import Fault
from segments.names import Of
from segments.normal import filter_shape, shape
from segments.tree import (
    Absent,
    All,
    Any_,
    Attr,
    Definition,
    Did,
    Filter,
    Leaf,
    Not,
    Op,
    Prop,
    Rel,
    Seq,
    Test,
)

Truth: TypeAlias = bool | None
"""None where it depends."""
Found: TypeAlias = list[tuple[str, bool]]

_OF_NUMBERS = (Op.EQ, Op.GT, Op.GE, Op.LT, Op.LE, Op.BETWEEN)


def constant_parts(definition: Definition) -> Iterator[Fault]:
    """A warning for each smallest part that is constant, and for the whole when that makes it so."""
    for name, condition in (("universe", definition.universe), ("where", definition.where)):
        if name == "universe" and condition == All():
            continue
        found: Found = []
        leaf = partial(_leaf_truth, found=found)
        whole = _truth(condition, name, leaf, partial(shape, entity=definition.entity), found)
        if whole is not None and all(path != name for path, _ in found):
            found.append((name, whole))
        yield from (_warning(path, truth, whole=path == name) for path, truth in found)


def _warning(path: str, truth: bool, *, whole: bool) -> Fault:
    what = "the segment" if whole else "this part"
    said = f"{what} is {'always' if truth else 'never'} true"
    return Fault(path, "a condition that some meet and others do not", said, "Look whether it is what you mean.")


def _truth(node: Any, path: str, leaf: Callable[[str, Any], Truth], text: Callable[[Any], str], found: Found) -> Truth:
    match node:
        case All(parts) | Any_(parts):
            word = "all" if isinstance(node, All) else "any"
            truths = [_truth(part, f"{path}.{word}[{at}]", leaf, text, found) for at, part in enumerate(parts)]
            decisive = isinstance(node, Any_)
            if decisive in truths:
                return decisive
            if all(truth is not None for truth in truths) and truths:
                return not decisive
            contrary = _contradict([text(part) for part in parts], [text(Not(part)) for part in parts])
            if not parts or contrary or _numbers_decide(parts, text, decisive=decisive):
                constant = decisive if parts else True
                found.append((path, constant))
                return constant
            return None
        case Not(part):
            inner = _truth(part, f"{path}.not", leaf, text, found)
            return None if inner is None else not inner
        case _:
            before = len(found)
            truth = leaf(path, node)
            if truth is not None and len(found) == before:
                found.append((path, truth))
            return truth


def _contradict(texts: list[str], opposites: list[str]) -> bool:
    return not set(texts).isdisjoint(opposites)


def _numbers_decide(parts: Sequence[Any], text: Callable[[Any], str], *, decisive: bool) -> bool:
    """Whether comparisons of one figure with numbers exclude each other, or of a count that is in any case none is
    missing."""
    together: defaultdict[str, list[Test]] = defaultdict(list)
    counts = set()
    for part in parts:
        if isinstance(part, Attr | Prop | Did | Rel) and _numbers(part.test):
            figure = text(replace(part, test=Test(Op.PRESENT)))
            together[figure].append(part.test)
            if isinstance(part, Did | Rel) and kind_of_aggregate(part.agg) is Kind.COUNT:
                counts.add(figure)
    for figure, tests in together.items():
        met = [[meets(test, point) for test in tests] for point in _points(tests, whole=figure in counts)]
        always, never = all(any(each) for each in met), not any(all(each) for each in met)
        if always and figure in counts if decisive else never:
            return True
    return False


def _numbers(test: Test) -> tuple[float, ...]:
    """What a test compares with, if that is numbers and only a number meets it."""
    values = test.value if isinstance(test.value, tuple) else (test.value,)
    told = test.op in _OF_NUMBERS and all(isinstance(each, int | float) for each in values)
    return values if told and not any(isinstance(each, bool) for each in values) else ()


def _points(tests: Iterable[Test], *, whole: bool) -> set[float]:
    """Beside, on and between the numbers that are named: elsewhere the answers are the same."""
    named = sorted({value for test in tests for value in _numbers(test)})
    if whole:
        return {each + step for each in (0, *named) for step in (-1, 0, 1) if each + step >= 0}
    return {*named, named[0] - 1, named[-1] + 1, *((low + high) / 2 for low, high in pairwise(named))}


def _leaf_truth(path: str, leaf: Leaf, found: Found) -> Truth:
    never = partial(_never_matches, found=found)
    match leaf:
        case Attr(_, test):
            return _empty_range(test)
        case Did(step, _, agg, test):
            return _amount_truth(kind_of_aggregate(agg), test, none=never(step.where, Of.EVENT, f"{path}.where"))
        case Rel(_, where, agg, test):
            return _amount_truth(kind_of_aggregate(agg), test, none=never(where, Of.LEAD, f"{path}.where"))
        case Seq(steps):
            wheres = [never(step.where, Of.EVENT, f"{path}.seq[{at}].where") for at, step in enumerate(steps)]
            return False if any(wheres) else None
        case Absent(after, absent):
            never(absent.where, Of.EVENT, f"{path}.absent.where")
            return False if never(after.where, Of.EVENT, f"{path}.after.where") else None
        case _:
            return None


def _never_matches(where: Filter, of: Of, path: str, found: Found) -> bool:
    if where == All():
        return False
    text = partial(filter_shape, of=of)
    return _truth(where, path, lambda _, prop: _empty_range(prop.test), text, found) is False


def _empty_range(test: Test) -> Truth:
    if test.op is Op.BETWEEN and test.value[0] > test.value[1]:
        return False
    return None


def _amount_truth(kind: Kind, test: Test, *, none: bool) -> Truth:
    """Of an aggregate; `none` says that nothing can match."""
    if none:
        return meets(test, 0) if kind in (Kind.COUNT, Kind.TOTAL) else test.op is Op.MISSING
    if kind is not Kind.COUNT:
        return _empty_range(test)
    values = test.value if isinstance(test.value, tuple) else (test.value,)
    # A comparison can change its answer only beside the values it names.
    counts = (value + step for value in (0, *values) for step in (-1, 0, 1) if value + step >= 0)
    first = meets(test, next(counts))
    return first if all(meets(test, count) is first for count in counts) else None
