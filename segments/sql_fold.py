"""The fold of trait rows in SQL: what `profiles.traits.fold` says of one attribute, for all units at once.

Of the rows that set, unset or delete, the newest decides; only what adds to a value and came after it matters besides,
and mostly there is nothing of that kind.
"""

from __future__ import annotations

from segments.sql_source import Pass

_DECIDES = "((name = {name} AND operation IN ('set', 'unset')) OR operation = 'delete')"
_ADDS = "(name = {name} AND operation IN ('set_once', 'increment', 'append'))"
KEY = "concat(leftPad(hex(toUInt64(occurred_at)), 16, '0'), event, char(0), leftPad(hex(`order`), 8, '0'))"
"""Of rows in their order: as one text, since tuples are compared ten times slower."""


def folded(over: Pass, name: str, known: str) -> str:
    """The attribute's value as JSON text, '' where it is missing; `known` is a condition for rows."""
    decides, adds = (f"{each.format(name=name)} AND {known}" for each in (_DECIDES, _ADDS))
    newest = over.state("max", KEY, decides)
    last = over.state("argMax", f"if(operation = 'set', value, ''), {KEY}", decides)
    later = over.state("groupArray", f"tuple({KEY}, operation, value)", adds)
    rows = over.share(f"arraySort(arrayDistinct(arrayFilter(r -> r.1 > {newest}, {later})))")
    step = (
        "multiIf(r.2 = 'set_once', if(v = '', r.3, v),"
        f" r.2 = 'increment', toString({_number('v')} + {_number('r.3')}),"
        f" concat('[', arrayStringConcat(arrayConcat({_items('v')}, {_items('r.3')}), ','), ']'))"
    )
    return f"if(empty({rows}), {last}, arrayFold((v, r) -> {step}, {rows}, {last}))"


def _number(text: str) -> str:
    return f"if(JSONType({text}) IN ('Int64', 'UInt64', 'Double'), JSONExtractFloat({text}), 0.)"


def _items(text: str) -> str:
    whole = f"if({text} = '' OR JSONType({text}) = 'Null', [], [{text}])"
    return f"if(JSONType({text}) = 'Array', JSONExtractArrayRaw({text}), {whole})"
