"""What leaves read of their unit, as of one moment: the rows that match a condition, and values with their types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from cdp.model import Millis
from segments.sql_pass import Pass
from segments.sql_source import Sources
from segments.sql_values import (
    NEVER,
    STAYS,
    Cell,
    Place,
    compare,
    flips_by_age,
    json_cell,
    moment,
    moment_cell,
    number_cell,
    string_cell,
    test,
    text_cell,
    to_never,
)
from segments.tree import All, Any_, Filter, Not, Op, Prop, Step, Test

Cells = Callable[[str], Cell]
"""The value of a name, in a row or of the whole unit."""


class Answer(NamedTuple):
    """Expressions over what `Sources.joined` gives; `next` by `to_never`."""

    truth: str
    next: str = STAYS


@dataclass(frozen=True, slots=True)
class Rows:
    """The pass over a leaf's rows, the condition for a match, and when the age of a value changes that condition, as an
    expression over the pass by `to_never`, '' for never. `cell` reads a row's values, `at` is its time."""

    over: Pass
    match: str
    ages: str
    cell: Cells
    at: str

    def aged(self) -> str:
        return self.over.tell(self.ages) if self.ages else STAYS

    def within(self, bound: str) -> Rows:
        """Only those of which this holds too, ' AND ' before it."""
        return Rows(self.over, f"{self.match}{bound}", self.ages, self.cell, self.at)


@dataclass(frozen=True, slots=True)
class Asked:
    """When it is asked, where plain dates and calendars are, and what had happened by then. What came after `known` is
    left out, though the sources go on to their own moment."""

    sources: Sources
    now: Millis
    known: Millis
    tz: str

    @property
    def place(self) -> Place:
        return Place(self.sources.params, str(self.now), self.tz)

    def known_by(self, at: str) -> str:
        return "" if self.known == self.sources.now else f"{at} <= {self.known}"

    def events(self, step: Step) -> Rows:
        return self._rows(self.sources.of_events(step.names), step.where, self.property, "occurred_at")

    def leads(self, where: Filter) -> Rows:
        return self._rows(self.sources.of_leads(), where, self.of_lead, "at")

    def _rows(self, over: Pass, where: Filter, cell: Cells, at: str) -> Rows:
        match, ages = self._filtered(where, cell, at)
        flips = [over.state("min", to_never(each), f"{each} < {NEVER}") for each in ages]
        return Rows(over, match, earliest(*flips) if flips else "", cell, at)

    def alone(self, step: Step) -> tuple[str, str]:
        """The condition for a match where events of all names are looked at; and when the age of a value changes it."""
        match, ages = self._filtered(step.where, self.property, "occurred_at")
        named = self.named(step.names) if step.names else "1"
        return f"({named} AND {match})", self.events(step).aged() if ages else STAYS

    def named(self, names: tuple[str, ...]) -> str:
        return self.sources.named(names)

    def _filtered(self, where: Filter, cell: Cells, at: str) -> tuple[str, list[str]]:
        """The condition, and for each value whose age it asks for, when that changes."""
        ages: list[str] = []
        match, known = self._filter(where, cell, ages), self.known_by(at)
        return (f"{match} AND {known}" if known else match), ages

    def _filter(self, where: Filter, cell: Cells, ages: list[str]) -> str:
        match where:
            case All(parts):
                return every(*(self._filter(part, cell, ages) for part in parts))
            case Any_(parts):
                return f"({' OR '.join(self._filter(part, cell, ages) for part in parts) or '0'})"
            case Not(part):
                return f"(NOT {self._filter(part, cell, ages)})"
            case Prop(name, wanted):
                if wanted.op in (Op.OLDER, Op.NEWER):
                    ages.append(flips_by_age(cell(name), wanted, self.place))
                return self.test(cell(name), wanted, cell)
        raise NotImplementedError(where)

    def test(self, value: Cell, wanted: Test, cell: Cells) -> str:
        """1 where it is met, else 0; `cell` gives what a ref names."""
        return compare(value, wanted.op, cell(wanted.ref)) if wanted.ref else test(value, wanted, self.place)

    # Values

    def property(self, name: str) -> Cell:
        if name.startswith("$"):
            return string_cell(self.sources.column(name[1:].replace(".", "_")))
        return json_cell(self.sources.column("properties"), name)

    def of_lead(self, name: str) -> Cell:
        match name:
            case "id":
                return string_cell("id")
            case "created_at":
                return moment_cell("at", "1")
        return json_cell("fields", "stage" if name == "status" else name)

    def trait(self, name: str) -> Cell:
        """An attribute of a person, as it is for the whole of them."""
        if name in ("$events", "$first_seen", "$last_seen"):
            over, known = self.sources.of_events(()), self.known_by("occurred_at") or "1"
            if name == "$events":
                return number_cell(over.tell(over.state("count", "", known)))
            found = over.tell(over.state("min" if name == "$first_seen" else "max", "occurred_at", known))
            return moment_cell(found, f"({found} != 0)")
        over, of = self.sources.of_traits(), self.sources.attribute(name, self.known)
        return text_cell(over.tell(over.state("any", "value", f"of = {of}")))

    def trait_moment(self, name: str) -> Cell:
        """An attribute of a person that is asked for as a moment."""
        value = self.trait(name)
        if value.moment:
            return value
        return replace(value, moment=self.sources.of_traits().tell(moment(value, self.place)))


def every(*conditions: str) -> str:
    found = [each for each in conditions if each != "1"]
    return "1" if not found else found[0] if len(found) == 1 else f"({' AND '.join(found)})"


def earliest(*moments: str) -> str:
    """The first of these moments by `to_never`."""
    found = [each for each in dict.fromkeys(moments) if each != STAYS]
    return STAYS if not found else found[0] if len(found) == 1 else f"least({', '.join(found)})"
