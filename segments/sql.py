"""One query for any number of segments: per unit, which of them it is in, and when each answer can change next.

Preview, first fill, live refresh, timers, the past and explanations all run this query, with another moment or for
other units; there is no second semantics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdp.model import Millis
from segments.counts import ZERO_OF_NOTHING
from segments.sql_leaves import Held, Leaves
from segments.sql_rows import Answer, Asked
from segments.sql_source import Scope, Sources
from segments.sql_values import Params, from_never
from segments.tree import Attr, Definition, Definitions, Did, Entity, Leaf, Op, Rel, Test

FOUND = "found"
"""A table of a preview's own."""
SAMPLED = 20
"""Units shown with a preview."""
REACHED_BY = ("phone", "email", "wx_openid", "device_id")
"""Kinds of identifiers that a message or an advertisement can be addressed to."""


@dataclass(frozen=True, slots=True)
class Query:
    """`tables` are made before it, see `profiles.store.EventStore.ask`."""

    text: str
    values: Mapping[str, Any]
    tables: Mapping[str, str]


def verdicts_query(
    definitions: Sequence[Definition], now: Millis, scope: Scope, others: Definitions, held: Held
) -> Query:
    """Rows of `segments.verdict.Verdicts`. All definitions are about one entity."""
    sources, answers = _members(definitions, now, scope, others, held)
    # What is done to all answers stands here once: the engine takes its time for each function of a text.
    places, truths = f"range({len(answers)})", f"CAST([{', '.join(each.truth for each in answers)}] AS Array(Bool))"
    coming = f"arrayFilter(v -> v.2 != 0, arrayZip({places}, [{', '.join(each.next for each in answers)}]))"
    said = {
        "id": "id",
        "members": f"arrayFilter((place, holds) -> holds, {places}, {truths})",
        "nexts": f"CAST(arrayMap(v -> (v.1, {from_never('v.2')}), {coming}) AS Map(UInt64, Int64))",
    }
    return _query(sources, said, " WHERE notEmpty(members) OR notEmpty(nexts)")


def overlap_query(
    definitions: Sequence[Definition], now: Millis, scope: Scope, others: Definitions, held: Held
) -> Query:
    """One row: [(mask of the definitions that a unit meets and no other, how many units)], those of none included."""
    sources, answers = _members(definitions, now, scope, others, held)
    mask = " + ".join(f"bitShiftLeft(toUInt64({each.truth}), {n})" for n, each in enumerate(answers))
    inner = _query(sources, {"mask": mask})
    grouped = f"SELECT toUInt32(mask) AS mask, count() AS n FROM ({inner.text}) GROUP BY mask"
    return replace(inner, text=f"SELECT groupArray(tuple(mask, n)) FROM ({grouped})")


def preview_query(
    definition: Definition, leaves: Sequence[Leaf], now: Millis, scope: Scope, others: Definitions, held: Held
) -> Query:
    """One row: the count of members, a sample of (hash, id), for each leaf how many units have zero and how many have
    no value; of members how many are reached by each kind and by any, and how many came through each channel first, as
    far as it is known."""
    sources, [member] = _members([definition], now, scope, others, held)
    compiler = Leaves(Asked(sources, now, now, definition.tz), others, held)
    counted = [answer for leaf in leaves for answer in _nothings(compiler, leaf)]
    told_of_each = {f"c{n}": each.truth for n, each in enumerate(counted)}
    inner = _query(sources, {"unit": "unit", "id": "id", "member": member.truth} | told_of_each)
    # How members are reached and where they came from costs as much as who they are, so nobody else is looked at.
    of_members = Sources(sources.params, sources.entity, now, replace(scope, among=FOUND))
    reach = ", ".join(f"'{kind}', countIf(bitTest(reach, {n}))" for n, kind in enumerate(REACHED_BY))
    told = [
        "countIf(member)",
        f"groupArraySortedIf({SAMPLED})(tuple(cityHash64(id), id), member)",
        f"[{', '.join(f'countIf(c{n})' for n in range(len(counted)))}]",
        f"(SELECT tuple(map({reach}), countIf(reach != 0)) FROM ({_reach(of_members)}))",
        f"(SELECT sumMap(map(way, toUInt64(1))) FROM ({_channel(of_members)}))",
    ]
    tables = {**inner.tables, FOUND: f"ENGINE = Memory AS {inner.text}", **of_members.tables()}
    return Query(f"SELECT {', '.join(told)} FROM {FOUND}", sources.params.values, tables)


def explain_query(
    definition: Definition, leaves: Sequence[Leaf], now: Millis, scope: Scope, others: Definitions, held: Held
) -> Query:
    """A row for each unit of the scope: for each leaf its truth, when that changes, and ids of the newest events."""
    sources = Sources(Params(), definition.entity, now, scope)
    compiler = Leaves(Asked(sources, now, now, definition.tz), others, held)
    answers = [(compiler.leaf(leaf), compiler.behind(leaf)) for leaf in leaves]
    told = ", ".join(f"tuple(toBool({a.truth}), {_flip(a.next)}, {events})" for a, events in answers)
    return _query(sources, {"leaves": f"[{told}]"})


def _members(
    definitions: Sequence[Definition], now: Millis, scope: Scope, others: Definitions, held: Held
) -> tuple[Sources, list[Answer]]:
    sources = Sources(Params(), _entity_of(definitions), now, scope)
    return sources, [Leaves(Asked(sources, now, now, each.tz), others, held).member(each) for each in definitions]


def _flip(moment: str) -> str:
    """When an answer can change next, NULL for never."""
    return from_never(f"nullIf(toInt64({moment}), 0)")


def _entity_of(definitions: Sequence[Definition]) -> Entity:
    """Raises ValueError where they are about several."""
    [entity] = {each.entity for each in definitions}
    return entity


def _query(sources: Sources, columns: Mapping[str, str], where: str = "") -> Query:
    told = ", ".join(f"{text} AS {name}" if text != name else name for name, text in columns.items())
    text = f"SELECT {', '.join(columns)} FROM (SELECT {told}{sources.shared()} FROM {sources.joined()}){where}"
    return Query(text, sources.params.values, sources.tables())


# What a preview tells besides


def _nothings(compiler: Leaves, leaf: Leaf) -> tuple[Answer, Answer]:
    """Whether the leaf's figure is zero, and whether its value is missing."""
    nobody, missing = Answer("0"), Test(Op.MISSING)
    match leaf:
        case Attr():
            return nobody, compiler.leaf(replace(leaf, test=missing))
        case Did() | Rel() if leaf.agg.fn in ZERO_OF_NOTHING:
            return compiler.leaf(replace(leaf, test=Test(Op.EQ, 0))), nobody
        case Did() | Rel():
            return nobody, compiler.leaf(replace(leaf, test=missing))
    return nobody, nobody


def _reach(sources: Sources) -> str:
    """A query for `reach` of each unit, a bit for each of REACHED_BY."""
    if sources.entity is Entity.LEAD:
        bits = _bits(f"isNotNull(fields.`contact.{kind}`)" for kind in REACHED_BY)
        return f"SELECT {sources.lead_rows(f', {bits} AS reach')}"
    bits = _bits(f"has(kinds, '{kind}')" for kind in REACHED_BY)
    return f"SELECT groupBitOr({bits}) AS reach FROM owners FINAL WHERE {sources.meant('person')} GROUP BY person"


def _bits(conditions: Iterable[str]) -> str:
    return " + ".join(f"bitShiftLeft(toUInt8({each}), {n})" for n, each in enumerate(conditions))


def _channel(sources: Sources) -> str:
    """A query for `way`, what the first event that tells so came from; nothing of units of which none does."""
    if sources.entity is Entity.LEAD:
        said = ", ifNull(fields.channel.:String, '') AS way"
        return f"SELECT {sources.lead_rows(said)}"
    first = ", argMin(campaign_source, occurred_at) AS way"
    return f"SELECT {sources.event_rows((), first)} AND campaign_source != '' GROUP BY unit"
