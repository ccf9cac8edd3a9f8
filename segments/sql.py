"""One query for any number of segments: per unit, which of them it is in, and when each answer can change next.

Preview, first fill, live refresh, timers, the past and explanations all run this query, with another moment or for
other units; there is no second semantics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdp.model import Millis
from segments.sql_leaves import Leaves
from segments.sql_source import Scope, Sources
from segments.sql_values import NEVER, Params
from segments.tree import Definition, Entity

JOINING = {"join_algorithm": "hash", "query_plan_join_swap_table": "0"}
"""Units are many and have all columns of the answer; each pass over events is the side to look up in."""


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    values: Mapping[str, Any]


def verdicts_query(
    definitions: Sequence[Definition], now: Millis, scope: Scope, others: Mapping[str, Definition]
) -> Query:
    """Rows of (unit, [(place of the definition, 1 for a member, when it can change next)]), those left out that are no
    member and never will be one by time alone. All definitions are about one entity."""
    sources = Sources(Params(), entity_of(definitions), now, scope)
    answers = [Leaves(sources, now, each.tz, others).member(each) for each in definitions]
    told = ", ".join(
        f"tuple(toUInt32({n}), toUInt8({each.truth}), toInt64({each.next}))" for n, each in enumerate(answers)
    )
    kept = f"arrayFilter(v -> v.2 OR v.3 < {NEVER}, [{told}])"
    text = f"SELECT unit, {kept} AS verdicts FROM {sources.joined()} WHERE notEmpty(verdicts)"
    return Query(text, sources.params.values)


def entity_of(definitions: Sequence[Definition]) -> Entity:
    """Raises ValueError where they are about several."""
    [entity] = {each.entity for each in definitions}
    return entity
