"""The fold of trait rows in SQL: what `profiles.traits.fold` says of attributes, for all units at once.

Of the rows that set, unset or delete, the newest decides; only what adds to a value and came after it matters besides,
and mostly there is nothing of that kind.
"""

from __future__ import annotations

_DECIDES = "operation IN ('set', 'unset', 'delete')"
_KEY = "concat(leftPad(hex(toUInt64(occurred_at)), 16, '0'), event, char(0), leftPad(hex(`order`), 8, '0'))"
"""Of rows in their order: as one text, since tuples are compared ten times slower."""


def fold_states() -> str:
    """Aggregates over the trait rows of one attribute, and those that delete."""
    return (
        f"maxIf({_KEY} AS key, {_DECIDES}) AS newest,"
        f" argMaxIf(if(operation = 'set', value, ''), key, {_DECIDES}) AS last,"
        f" groupArrayIf(tuple(key, operation, value), NOT {_DECIDES}) AS later"
    )


def folded(grouped: str) -> str:
    """A query for `unit, of, value`: each attribute's value as JSON text, '' where it is missing. `grouped` is one for
    `unit, of` and `fold_states`."""
    added = "arraySort(arrayDistinct(arrayFilter(r -> r.1 > newest, later)))"
    step = (
        "multiIf(r.2 = 'set_once', if(v = '', r.3, v),"
        f" r.2 = 'increment', toString({_number('v')} + {_number('r.3')}),"
        f" concat('[', arrayStringConcat(arrayConcat({_items('v')}, {_items('r.3')}), ','), ']'))"
    )
    value = f"if(empty(added), last, arrayFold((v, r) -> {step}, added, last))"
    return f"SELECT unit, of, {added} AS added, {value} AS value FROM ({grouped})"


def _number(text: str) -> str:
    return f"if(JSONType({text}) IN ('Int64', 'UInt64', 'Double'), JSONExtractFloat({text}), 0.)"


def _items(text: str) -> str:
    whole = f"if({text} = '' OR JSONType({text}) = 'Null', [], [{text}])"
    return f"if(JSONType({text}) = 'Array', JSONExtractArrayRaw({text}), {whole})"
