"""What a person's traits are: a pure fold of the stored trait rows.

Rows are facts of single events and are never rewritten. A merge folds the rows of more sets, an undo those of fewer,
and "what did we know on day D" those up to D; so increments add up exactly under each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cdp.model import Millis, Operation
from profiles.store import TraitRow

_decode = msgspec.json.Decoder().decode


class Trait(msgspec.Struct, frozen=True):
    """A trait's value now, with the source and the `occurred_at` of the row that last changed it."""

    value: Any
    source: str
    at: Millis


def fold(rows: Iterable[TraitRow], *, until: Millis | None = None) -> dict[str, Trait]:
    """Traits by name after all rows with `occurred_at` ≤ `until`, given in any order.

    Rows apply in the order of (occurred_at, event, order): the last SET wins, SET_ONCE gives way to any value that is
    there, INCREMENT adds to a number and starts at 0 elsewhere, APPEND adds a value or each of a list, UNSET removes
    one trait, DELETE all of them. A row that is given twice counts once.
    """
    traits: dict[str, Trait] = {}
    previous: tuple[Millis, str, int] | None = None
    for row in sorted(rows, key=_moment):
        if until is not None and row.occurred_at > until:
            break
        if _moment(row) == previous:
            continue
        previous = _moment(row)
        _apply(traits, row)
    return traits


def _moment(row: TraitRow) -> tuple[Millis, str, int]:
    return row.occurred_at, row.event, row.order


def _apply(traits: dict[str, Trait], row: TraitRow) -> None:
    before = traits[row.name].value if row.name in traits else None
    match row.operation:
        case Operation.DELETE:
            traits.clear()
            return
        case Operation.UNSET:
            traits.pop(row.name, None)
            return
        case Operation.SET_ONCE if row.name in traits:
            return
        case Operation.SET | Operation.SET_ONCE:
            value = _decode(row.value)
        case Operation.INCREMENT:
            value = _number(before) + _number(_decode(row.value))
        case Operation.APPEND:
            value = _list(before) + _list(_decode(row.value))
        case _:
            return
    traits[row.name] = Trait(value, row.source, row.occurred_at)


def _number(value: Any) -> int | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
