"""Leaves in SQL: for each its truth at a moment, and the next moment at which time alone changes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from cdp.model import Millis
from cdp.records import chunks
from segments.sql_did import did, related
from segments.sql_rows import Answer, Asked, earliest, every
from segments.sql_spans import absence, sequence
from segments.sql_values import NEVER, flips_by_age, test, to_never
from segments.sql_windows import bound_of, inside, reach_of
from segments.tree import (
    Absent,
    All,
    Any_,
    Attr,
    Condition,
    Definition,
    Definitions,
    Did,
    Duration,
    Entity,
    Fixed,
    In,
    Leaf,
    Not,
    Op,
    Rel,
    Sample,
    Seq,
    Step,
    Window,
)
from segments.verdict import Slice

SHOWN = 20
"""Events told of one leaf, the newest."""

PAIRS = 2_000
"""Members of another segment in one parameter, of which a server takes 128 KiB."""

Held = Callable[[str, Collection[str] | None, Millis, Slice | None], Mapping[str, Millis]]
"""Since when units are members of a segment at a moment, without interruption: of these units, or all; and only those
from one text up to another."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """Compiles leaves. `others` are the segments that `in` may name, `held` their members of old."""

    asked: Asked
    others: Definitions
    held: Held

    def member(self, definition: Definition) -> Answer:
        """Of a segment: its universe and its condition, in its own time zone."""
        own = replace(self, asked=replace(self.asked, tz=definition.tz))
        return own.of(All((definition.universe, definition.where)))

    def of(self, condition: Condition) -> Answer:
        """The answer of a whole tree."""
        match condition:
            case All(parts) | Any_(parts):
                answers = [self.of(part) for part in parts]
                truths = [each.truth for each in answers]
                truth = every(*truths) if isinstance(condition, All) else f"({' OR '.join(truths) or '0'})"
                return Answer(truth, earliest(*(each.next for each in answers)))
            case Not(part):
                answer = self.of(part)
                return Answer(f"(NOT {answer.truth})", answer.next)
        return self.leaf(condition)

    def leaf(self, leaf: Leaf) -> Answer:
        match leaf:
            case Attr():
                return self._attr(leaf)
            case Did():
                return did(leaf, self.asked)
            case Seq():
                return sequence(leaf, self.asked)
            case Absent():
                return absence(leaf, self.asked)
            case In():
                return self._in(leaf)
            case Rel():
                return related(leaf, self.asked)
            case Sample():
                return self._sample(leaf)
        raise NotImplementedError(leaf)

    def _attr(self, leaf: Attr) -> Answer:
        asked = self.asked
        if asked.sources.entity is Entity.PERSON:
            if leaf.test.op not in (Op.OLDER, Op.NEWER):
                return Answer(asked.test(asked.trait(leaf.name), leaf.test, asked.trait))
            value = asked.trait_moment(leaf.name)
            return Answer(test(value, leaf.test, asked.place), to_never(flips_by_age(value, leaf.test, asked.place)))
        over, value = asked.sources.of_leads(), asked.of_lead(leaf.name)
        truth = over.truth(over.state("max", asked.test(value, leaf.test, asked.of_lead), "1"), of_nothing=False)
        if leaf.test.op not in (Op.OLDER, Op.NEWER):
            return Answer(truth)
        flips = over.state("min", to_never(flips_by_age(value, leaf.test, asked.place)), "1")
        return Answer(truth, over.tell(flips))

    # Membership, chance

    def _in(self, leaf: In) -> Answer:
        if leaf.held is not None:
            return self._held_for(leaf, leaf.held)
        if leaf.as_of is None:
            return self.member(self.others[leaf.segment])
        then = replace(self.asked, now=leaf.as_of, known=min(self.asked.known, leaf.as_of))
        truth = replace(self, asked=then).member(self.others[leaf.segment]).truth
        if then.sources.entity is Entity.LEAD:
            over = then.sources.of_leads()
            truth = f"({over.truth(over.state('max', f'at <= {then.known}', '1'), of_nothing=False)} AND {truth})"
        return Answer(truth)

    def _held_for(self, leaf: In, length: Duration) -> Answer:
        now, sources = self.asked.now, self.asked.sources
        members = sorted(self.held(leaf.segment, sources.scope.units, now, sources.scope.part).items())
        type_ = "UUID" if sources.entity is Entity.PERSON else "String"
        portions = []
        for some in chunks(members, PAIRS) if members else [members]:
            units = sources.params.bind([unit for unit, _ in some], f"Array({type_})")
            moments = sources.params.bind([moment for _, moment in some], "Array(Int64)")
            portions.append(f"SELECT arrayJoin(arrayZip({units}, {moments})) AS pair")
        # With the ids, for whoever was a member need not be there any more.
        pairs = f"SELECT {sources.unit_of('pair.1')} AS unit, groupArray(pair) AS state"
        states = sources.alone(f"{pairs} FROM ({' UNION ALL '.join(portions)}) GROUP BY unit")
        since = sources.share(f"arrayFirst(pair -> pair.1 = id, {states}).2")
        due = f"{since} + {int(length)}"
        flip = f"if({since} > 0 AND {due} > {now}, {due}, {NEVER})"
        return Answer(f"({since} > 0 AND {due} <= {now})", to_never(flip))

    def _sample(self, leaf: Sample) -> Answer:
        params = self.asked.sources.params
        salt = params.bind(f"{leaf.salt}:", "String")
        hashed = f"reinterpretAsUInt64(reverse(substring(MD5(concat({salt}, toString(id))), 1, 8)))"
        start, end = (params.bind(float(each), "Float64") for each in (leaf.start, leaf.end))
        bucket = f"toFloat64({hashed}) / 18446744073709551616."
        return Answer(f"({bucket} >= {start} AND {bucket} < {end})")

    # What a leaf looks at

    def behind(self, leaf: Leaf) -> str:
        """The ids of the newest events that a leaf's truth comes from, as an array."""
        match leaf:
            case Did():
                return self._ids((leaf.step,), leaf.window)
            case Seq():
                return self._ids(leaf.steps, leaf.window)
            case Absent():
                return self._ids((leaf.after, leaf.absent), None)
            case Attr() if self.asked.sources.entity is Entity.PERSON and not leaf.name.startswith("$"):
                rows = self.asked.sources.trait_rows({leaf.name}, ", groupArray(tuple(occurred_at, event)) AS state")
                known = f" AND occurred_at <= {int(self.asked.known)}"
                return _newest_of([self.asked.sources.alone(f"SELECT {rows}{known} GROUP BY unit")])
        return "CAST([] AS Array(String))"

    def _ids(self, steps: Collection[Step], window: Window | None) -> str:
        found, bound, event = [], reach_of(window, self.asked), self.asked.sources.column("id")
        for step in steps:
            rows = self.asked.events(step)
            fixed = bound_of(window, rows.at) if isinstance(window, Fixed) else bound
            ids = rows.over.state("groupArray", f"tuple({rows.at}, {event})", f"{rows.match}{fixed}")
            found.append(rows.over.tell(ids))
        is_inside = inside(window, self.asked)(str(self.asked.now))
        return _newest_of(found if is_inside == "1" else [f"arrayFilter(e -> {is_inside}, {each})" for each in found])


def _newest_of(found: Collection[str]) -> str:
    """The ids of pairs (time, id), each once, newest first."""
    newest = f"arrayReverseSort(arrayDistinct(arrayConcat({', '.join(found)})))"
    return f"arrayMap(e -> e.2, arraySlice({newest}, 1, {SHOWN}))"
