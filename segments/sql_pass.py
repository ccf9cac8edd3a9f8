"""A pass over rows of each unit: the states that leaves ask for, folded in one GROUP BY, and what is told from them.

Equal states are kept once. A unit without rows has 0 or [] for every state, so what is true of nothing at all is told
as a difference from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from segments.sql_values import to_never

FromRows = Callable[[str], str]
"""The unit and these columns of the rows of all units, as SELECT takes it, up to WHERE."""


@dataclass(slots=True)
class Pass:
    """One pass over some rows of each unit. `states` are aggregates, `shared` expressions over them that others use,
    and `told` what comes out, each with the name of its column. Where rows are `picked`, only those that meet any of
    `wanted` are looked at; `only` goes before each condition."""

    alias: str
    states: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, None] = field(default_factory=dict)
    only: str = ""
    picked: bool = True

    def state(self, function: str, of: str, where: str, parameter: str = "") -> str:
        """The name of an aggregate over the rows where a condition holds, for expressions that are told."""
        where = self.only + where.removeprefix("1 AND ")
        self.wanted[where] = None
        text = f"{function}If{parameter}({of + ', ' if of else ''}{where})"
        return self.states.setdefault(text, f"{self.alias}s{len(self.states)}")

    def share(self, expression: str) -> str:
        """A name for an expression that others have several times: the engine reads a long text slowly."""
        return self.shared.setdefault(expression, f"{self.alias}x{len(self.shared)}")

    def tell(self, expression: str) -> str:
        """The column of an expression over states, as it is for a unit with rows."""
        return self.told.setdefault(expression, f"{self.alias}t{len(self.told)}")

    def truth(self, condition: str, *, of_nothing: bool) -> str:
        """Whether a condition holds, given that of a unit without rows."""
        return f"(NOT {self.tell(f'NOT ({condition})')})" if of_nothing else self.tell(condition)

    def moment(self, expression: str) -> str:
        """By `to_never`, a moment that never comes for a unit without rows."""
        return self.tell(to_never(expression))

    def select(self, rows: FromRows) -> str:
        """The pass as a query with one row a unit."""
        states = "".join(f", {text} AS {alias}" for text, alias in self.states.items())
        told = "".join(f", {text} AS {alias}" for text, alias in (self.shared | self.told).items())
        where = " OR ".join(f"({each})" for each in self.wanted) if self.picked else ""
        return f"(SELECT unit{told} FROM (SELECT {rows(states)} AND ({where or 1}) GROUP BY unit))"
