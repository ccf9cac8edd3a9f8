"""What a query reads of each unit: its events, traits and leads, in passes (`sql_pass`) that leaves ask for.

Leaves of all segments that look at the same event names share one pass over those events. Rows find their unit through
the mirror of the identity graph, so that a merge or a split is right at once.

A query has tables of its own, made before it. In `whose` all passes look up to whom the rows of each set belong; of
many the same lies in `owners_now`, as a table to look up in is slow to read. Of few units also their events are
taken first, out of `events`, which lies in the order of sets: in that of names they are everywhere.

Where many are asked about, the persons who are meant are numbered for this one question, as what it does most is to
group, sort and join by them: 8 bytes in place of 16 take a tenth off and more. A number is a keyed hash of the id, and
a question in which two persons have one number fails.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from cdp.model import Millis, SetId
from profiles.rows import in_envelope
from profiles.store import NOBODY
from segments.sql_fold import fold_states, folded
from segments.sql_pass import Pass
from segments.sql_values import Params
from segments.tree import Entity
from segments.verdict import Slice

WHOSE, OWNERS_NOW, THEIR_EVENTS, THEIR_LEADS = "whose", "owners_now", "their_events", "their_leads"
"""Tables of a query's own."""
_LOOK_UP = "ENGINE = Join(SEMI, LEFT, set) AS"
_LEAD_ID = re.compile(r"\w+", re.ASCII)
"""Nothing else is the id of a lead."""
CLASH = "two persons have one number; ask again with another key"
"""What the engine says then."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a query is about: these units only, or those from one text up to another. Of few units `sets` are all that
    they may have events of, and nothing else is read; without these the query goes over everything.

    Of `among`, a table of the query's own, the members alone are meant; `one_of` leaves all but one unit of so many
    out. `shifting`: some sets belong to several persons in turn; where none does, a simpler query says the same. With
    `key` the persons are numbered where they are many.
    """

    units: Collection[str] | None = None
    sets: Collection[SetId] | None = None
    part: Slice | None = None
    among: str = ""
    one_of: int = 1
    shifting: bool = True
    key: tuple[int, int] = (0, 0)

    @property
    def few(self) -> bool:
        return self.sets is not None


@dataclass(slots=True)
class Sources:
    """All passes of a query."""

    params: Params
    entity: Entity
    now: Millis
    scope: Scope
    columns: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    """Of all events that are read, '' for any."""
    _shared: dict[str, str] = field(default_factory=dict)
    _events: dict[tuple[str, ...], Pass] = field(default_factory=dict)
    _attributes: dict[tuple[str, Millis], int] = field(default_factory=dict)
    _traits: Pass = field(default_factory=lambda: Pass("a", picked=False))
    _leads: Pass = field(default_factory=lambda: Pass("l"))
    _alone: dict[str, str] = field(default_factory=dict)
    _looked_up: bool = False
    """Whether any rows ask whose they are."""

    def of_events(self, names: tuple[str, ...]) -> Pass:
        """Over events of these names, none for all. Their columns are those of `typed_events`; see `column`."""
        if not self.scope.few:
            return self._events.setdefault(tuple(sorted(names)), Pass(f"e{len(self._events)}"))
        # Of few units all events together are few, and each pass takes its time whatever it reads.
        together = self._events.setdefault((), Pass("e", picked=False))
        self._names.update(names or [""])
        # It shares what the other holds.
        return replace(together, only=f"{self.named(names)} AND ") if names else together

    def column(self, name: str) -> str:
        """Any column of an event but its time and name: to be named here where it is used."""
        self.columns.add(name)
        return name

    def named(self, names: tuple[str, ...]) -> str:
        """A condition for events of these names."""
        return f"name IN {self.params.bind(list(names), 'Array(String)')}"

    def share(self, expression: str) -> str:
        """As `Pass.share`, over what `joined` gives; to be selected beside what uses it, see `shared`."""
        return self._shared.setdefault(expression, f"x{len(self._shared)}")

    def of_traits(self) -> Pass:
        """Over values of attributes: `of, value`, see `attribute`."""
        return self._traits

    def attribute(self, name: str, known: Millis) -> int:
        """The `of` of an attribute as it was known at a moment."""
        return self._attributes.setdefault((name, known), len(self._attributes))

    def of_leads(self) -> Pass:
        """Over a person's leads, or over the lead itself: `at, id, fields`."""
        return self._leads

    def alone(self, select: str) -> str:
        """The column `state` of a query of its own, which has one row a unit."""
        return f"{self._alone.setdefault(select, f'q{len(self._alone)}')}.state"

    def joined(self) -> str:
        """All units with what is told of them, as FROM takes it. `unit` is by what they are joined, `id` their own."""
        passes = [(each, each.select(partial(self._event_rows, names))) for names, each in self._events.items()]
        if self._traits.states:
            passes.append((self._traits, self._traits.select(self._attribute_rows)))
        if self._leads.states:
            passes.append((self._leads, self._leads.select(self.lead_rows)))
        # The engine works on all columns at each join, so what has many of them is joined last.
        passes.sort(key=lambda each: len(each[0].told))
        parts = [f"({select}) AS {alias}" for select, alias in self._alone.items()]
        parts += [f"{select} AS part{n}" for n, (_, select) in enumerate(passes)]
        return self._universe() + "".join(f" ANY LEFT JOIN {each} USING (unit)" for each in parts)

    def shared(self) -> str:
        """What is shared, as SELECT takes it after other columns."""
        return "".join(f", {text} AS {alias}" for text, alias in self._shared.items())

    def event_rows(self, names: tuple[str, ...], columns: str) -> str:
        """The events of these names, as SELECT takes it: the unit, these columns, FROM and WHERE."""
        self._names.update(names or [""])
        return self._event_rows(names, columns)

    def _event_rows(self, names: tuple[str, ...], columns: str) -> str:
        named = f" AND {self.named(names)}" if names else ""
        if not self.scope.few:
            return self._owned_rows("typed_events", columns) + named
        return f"unit{columns} FROM {THEIR_EVENTS} WHERE 1{named}"

    def tables(self) -> Mapping[str, str]:
        """The tables to be made before a query that reads `joined`, once that is told: by name, what follows it in
        CREATE."""
        columns = f"set, person{', turns' if self.scope.shifting else ''}"
        if self.scope.among:
            # The query that tells the members has the rest.
            if not self._looked_up:
                return {}
            members = f"{self._among_many('who')}{' OR notEmpty(turns)' if self.scope.shifting else ''}"
            return {self._whose(): f"{_LOOK_UP} SELECT {columns} FROM {OWNERS_NOW} WHERE {members}"}
        if not self.scope.few:
            owners = self._numbered() if self._by_number else self._as_they_are()
            found = {OWNERS_NOW: f"ENGINE = Memory AS {owners}"}
            if self._looked_up:
                found[WHOSE] = f"{_LOOK_UP} SELECT {columns} FROM {OWNERS_NOW}"
            return found
        found = {WHOSE: f"{_LOOK_UP} {self._as_they_are()}"}
        if self.entity is Entity.LEAD or self._leads.states:
            found[THEIR_LEADS] = f"ENGINE = Memory AS SELECT * FROM {self._leads_now()}"
        if self._names:
            found[THEIR_EVENTS] = f"ENGINE = Memory AS SELECT {self._their_events()}"
        return found

    def _their_events(self) -> str:
        columns = sorted(self.columns)
        told = "".join(f", {in_envelope(each)} AS {each}" for each in columns)
        named = "" if "" in self._names else f" AND {self.named(tuple(sorted(self._names)))}"
        rows = f"(SELECT set, occurred_at, name{told} FROM events WHERE 1{self._of_sets()}{named}) AS event"
        return self._owned_rows(rows, "".join(f", {each}" for each in ("occurred_at", "name", *columns)))

    def _attribute_rows(self, columns: str) -> str:
        names = sorted({name for name, _ in self._attributes})
        places = [names.index(name) + 1 for name, _ in self._attributes]
        moments = [int(known) for _, known in self._attributes]
        its = f"{self.params.bind(names, 'Array(String)')}[place]"
        said = f"(n, place, known) -> ({its} = name OR operation = 'delete') AND occurred_at <= known"
        of = f"arrayJoin(arrayFilter({said}, range({len(places)}), {places}, {moments}))"
        grouped = f"SELECT {self.trait_rows(names, f', {of} AS of, {fold_states()}')} GROUP BY unit, of"
        return f"unit{columns} FROM ({folded(grouped)}) WHERE 1"

    def trait_rows(self, names: Collection[str], columns: str) -> str:
        """Trait rows of these attributes and those that delete, as SELECT takes it: the unit, these columns, FROM and
        WHERE."""
        named = self.params.bind(sorted(names), "Array(String)")
        rows = self._owned_rows("traits", columns) + self._of_sets()
        return f"{rows} AND (name IN {named} OR operation = 'delete')"

    def _owned_rows(self, rows: str, columns: str) -> str:
        self._looked_up = True
        person = self._person_at("occurred_at")
        where = f"occurred_at <= {int(self.now)}"
        # Where tables are spread over servers, GLOBAL sends them the table of this question; else it means nothing.
        owned = f"FROM {rows} GLOBAL SEMI LEFT JOIN {self._whose()} USING (set)"
        if self.entity is Entity.PERSON:
            return f"{person} AS unit{columns} {owned} WHERE {where} AND {self._meant_row()}"
        lead = f"(SELECT id AS unit, person AS its FROM {self._lead_table()} WHERE its != '{NOBODY}')"
        return f"unit{columns} {owned} GLOBAL INNER JOIN {lead} AS of_lead ON {person} = of_lead.its WHERE {where}"

    def _whose(self) -> str:
        return f"{WHOSE}_{self.scope.among}" if self.scope.among else WHOSE

    def _owners_now(self) -> str:
        return f"(SELECT * FROM {WHOSE if self.scope.few else OWNERS_NOW})"

    def _as_they_are(self) -> str:
        """Whose sets are, by the ids of persons."""
        turns = ", arrayZip(starts, persons) AS turns" if self.scope.shifting else ""
        return f"SELECT set, person{turns} FROM owners FINAL WHERE 1{self._of_sets()}"

    def _numbered(self) -> str:
        """Whose sets are, by numbers, 0 for whoever is not meant, with the ids beside."""
        said, turns, kept = "SELECT set, person AS who", "", "person != 0"
        if self.scope.shifting:
            said += ", starts, persons AS whos"
            turns = f", whos, arrayMap((start, each) -> (start, {self._number('each')}), starts, whos) AS turns"
            kept += " OR notEmpty(turns)"
        person = self._number("who")
        return f"SELECT set, who, {person} AS person{turns} FROM ({said} FROM owners FINAL) WHERE {kept}"

    def _in_part(self, unit: str) -> str:
        low, high = (self.params.bind(each, "String") for each in self.scope.part or ("", "~"))
        return f"toString({unit}) >= {low} AND toString({unit}) < {high}"

    def _person_at(self, at: str) -> str:
        """Whose a row of an owned set is, by its time."""
        if not self.scope.shifting:
            return "person"
        return f"if(empty(turns), person, turns[arrayLastIndex(start -> start <= {at}, turns.1)].2)"

    def _of_sets(self) -> str:
        """A condition after others: only sets that the units may have events of."""
        return f" AND {self._among_sets('set')}" if self.scope.few else ""

    def _among_sets(self, column: str) -> str:
        # As text: a parameter would be read again wherever it stands, and these are our own numbers.
        return f"{column} IN ({','.join(str(int(each)) for each in self.scope.sets or ()) or '-1'})"

    def _among_units(self, column: str) -> str:
        # As text too: of a long query parameters go into the address, and servers and proxies take no long one.
        wanted = sorted(self.scope.units or ())
        if self.entity is Entity.PERSON:
            quoted = [f"'{UUID(each)}'" for each in wanted]
        else:
            quoted = [f"'{each}'" for each in wanted if _LEAD_ID.fullmatch(each)]
        return f"{column} IN ({','.join(quoted) or 'NULL'})"

    # Who is meant

    def meant(self, its_id: str) -> str:
        """Which units are asked for, by their ids."""
        found = [f"{its_id} != '{NOBODY}'"] if self.entity is Entity.PERSON else []
        if self.scope.units is not None:
            found.append(self._among_units(its_id))
        if some := self._among_many(its_id):
            found.append(some)
        return " AND ".join(found) or "1"

    def _among_many(self, its_id: str) -> str:
        """Whether a unit is in the part, of the sample and among the members that are asked for, '' where all are."""
        found = [self._in_part(its_id)] if self.scope.part is not None else []
        if self.scope.among:
            found.append(f"{its_id} GLOBAL IN (SELECT id FROM {self.scope.among} WHERE member)")
        if self.scope.one_of > 1:
            found.append(f"cityHash64({its_id}) % {int(self.scope.one_of)} = 0")
        return " AND ".join(found)

    def _meant_row(self) -> str:
        """Which rows are of units that are meant: of sets, all are but for nobody's; of members, not all turns are."""
        if not self._by_number:
            return f"unit != '{NOBODY}'"
        turned = self.scope.among and self.scope.shifting
        members = f"unit GLOBAL IN (SELECT unit FROM {self.scope.among} WHERE member)"
        return f"unit != 0{f' AND (empty(turns) OR {members})' if turned else ''}"

    @property
    def _by_number(self) -> bool:
        """Whether `unit` is a number."""
        return not self.scope.few and self.entity is Entity.PERSON

    def unit_of(self, its_id: str) -> str:
        """What stands for a unit of this id, whoever it is."""
        if not self._by_number:
            return its_id
        # Not to be foreseen, whatever ids somebody chooses; and never that of nobody.
        first, second = self.scope.key
        return f"bitOr(sipHash64Keyed((toUInt64({int(first)}), toUInt64({int(second)})), {its_id}), 1)"

    def _number(self, its_id: str) -> str:
        return f"if({self.meant(its_id)}, {self.unit_of(its_id)}, 0)"

    def _universe(self) -> str:
        if self.entity is Entity.LEAD:
            return f"(SELECT id AS unit, id FROM {self._lead_table()}) AS universe"
        if not self._by_number:
            persons = "arrayJoin(if(empty(turns), [person], turns.2))" if self.scope.shifting else "person"
            meant = f"SELECT {persons} AS unit FROM {self._owners_now()} WHERE {self.meant('unit')} GROUP BY unit"
            return f"(SELECT unit, unit AS id FROM ({meant})) AS universe"
        persons = f"SELECT person AS unit, who FROM {OWNERS_NOW}"
        if self.scope.shifting:
            turns = f"SELECT arrayJoin(arrayZip(turns.2, whos)) AS turn FROM {OWNERS_NOW} WHERE notEmpty(turns)"
            persons += f" UNION ALL SELECT turn.1 AS unit, turn.2 AS who FROM ({turns})"
        once = f"HAVING NOT throwIf(id != max(who), '{CLASH}')"
        return f"(SELECT unit, min(who) AS id FROM ({persons}) WHERE unit != 0 GROUP BY unit {once}) AS universe"

    def lead_rows(self, columns: str) -> str:
        """A person's leads, or the lead itself, as SELECT takes it: the unit, these columns, FROM and WHERE."""
        if self.entity is Entity.LEAD:
            return f"id AS unit{columns} FROM {self._lead_table()} WHERE 1"
        return f"person AS unit{columns} FROM {self._lead_table()} WHERE {self._meant_row()}"

    def _lead_table(self) -> str:
        """Leads with the persons that they are of."""
        return THEIR_LEADS if self.scope.few else self._leads_now()

    def _leads_now(self) -> str:
        where = f" WHERE {self.meant('id')}" if self.entity is Entity.LEAD else ""
        leads = (
            f"SELECT id, subject AS set, created_at AS at, fields FROM leads FINAL WHERE created_at <= {int(self.now)}"
        )
        if self.scope.few:
            leads += f" AND {self._among_sets('subject') if self.entity is Entity.PERSON else self._among_units('id')}"
        return (
            f"(SELECT id, at, fields, {self._person_at('at')} AS person FROM ({leads}) AS lead"
            f" GLOBAL ANY LEFT JOIN {self._owners_now()} AS owner USING (set){where})"
        )
