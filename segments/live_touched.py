"""Whom the work that waits is about: which units are to be looked at, for which segments, and why.

An event is of a set, a set is of a person, and whose it is may have changed since: first the mirror is brought up to
the graph, then everybody is looked at who has or had something of what came or moved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select

from cdp.model import Millis, PersonId, SetId
from cdp.records import chunks, reading
from cdp.segment_work import Happened, SegmentWork, Task
from identity.changes import ChangeKind
from identity.gate import Gate
from identity.verbs import Identity
from leads.store import lead_rows
from profiles.owners import Followed, Owners
from profiles.store import Mirror, OwnerRow
from segments.book import Segment
from segments.fresh import OWNERS
from segments.lead_rows import LeadRows
from segments.mentions import Mentions, mentions_of
from segments.stays import Reason
from segments.tree import Entity
from segments.waiting import Waiting, moved_by

CHANGES_AT_ONCE = 1_000


class Index:
    """Which segments look at what: those of `every` that are live, and those of these numbers."""

    def __init__(self, every: Sequence[Segment], filling: Collection[int] = ()) -> None:
        by_id = {each.id: each.definition for each in every}
        self.segments = {each.n: each for each in every if each.live or each.n in filling}
        self.mentions = {n: mentions_of(each.definition, by_id) for n, each in self.segments.items()}
        self._of_events: dict[tuple[str, tuple[str, ...]], frozenset[int]] = {}

    def about(self, entity: Entity) -> frozenset[int]:
        return frozenset(n for n, each in self.segments.items() if each.definition.entity is entity)

    def event(self, happened: Happened) -> frozenset[int]:
        """Those that look at such an event."""
        key = happened.name, tuple(happened.traits)
        if key not in self._of_events:
            self._of_events[key] = self._where(lambda each: _sees(each, happened))
        return self._of_events[key]

    def leads(self) -> frozenset[int]:
        return self._where(lambda each: each.leads)

    def held(self, n: int) -> frozenset[int]:
        """Those that ask for how long one has been in this one."""
        segment = self.segments.get(n)
        return self._where(lambda each: segment is not None and segment.id in each.held)

    def _where(self, wanted: Callable[[Mentions], bool]) -> frozenset[int]:
        return frozenset(n for n, each in self.mentions.items() if wanted(each))


def _sees(mentions: Mentions, happened: Happened) -> bool:
    return mentions.event(happened.name) or any(mentions.trait(each) for each in happened.traits)


class Ask(NamedTuple):
    """Look at these units for these segments, all about one entity."""

    segments: frozenset[int]
    units: frozenset[str]


@dataclass(slots=True)
class Touched:
    """`asks` are what to look at; where `everything` is to be, they are not all. `moved` are persons whose events are
    not those that were theirs, with the reason where the graph has one; `happened` is what came of each unit that a
    segment looks at; of those `settled` there is no more to come. `announced` are the numbers of tasks that say
    again what is told here."""

    everything: bool = False
    settled: set[str] = field(default_factory=set)
    asks: list[Ask] = field(default_factory=list)
    moved: dict[str, Reason | None] = field(default_factory=dict)
    happened: dict[str, list[Happened]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    announced: list[int] = field(default_factory=list)


class Toucher:
    """For one thread. Raises StoreUnavailable."""

    def __init__(
        self,
        records: Engine,
        work: SegmentWork,
        identity: Identity,
        owners: Owners,
        leads: LeadRows,
        mirror: Mirror,
        gate: Gate,
    ) -> None:
        self._records, self._work, self._identity = records, work, identity
        self._owners, self._leads, self._mirror, self._gate = owners, leads, mirror, gate

    def touched(self, tasks: Iterable[Task], index: Index, *, since: int | None, now: Millis) -> Touched:
        """Bring the mirror up to date; whom these tasks are about, and what the graph moved after version `since`.

        Where no segment is live or being filled, that is nobody; the filling of one, which begins after all this is
        written, looks at everybody.
        """
        work = Waiting.of(tasks)
        found = Touched(settled=set(work.late), erased=work.erased, emptied=work.emptied)
        followed = self._mirrored(work, found, now)
        if not index.segments:
            return found
        found.everything = followed.filled or work.unknown
        present = {person for row in followed.rows.values() for person in row.owners()}
        found.moved = self._reasons(followed.persons | work.moved, present, since)
        seen = [(each, index.event(each)) for each in work.happened]
        subjects = work.subjects
        rows = followed.rows or self._rows_of({each.set for each, segments in seen if segments} | subjects)
        wanted: defaultdict[str, set[int]] = defaultdict(set)
        for each, segments in seen:
            person = rows[each.set].owner_at(each.at) if segments and each.set in rows else None
            if person:
                wanted[person] |= segments
                found.happened.setdefault(person, []).append(each)
        for row in (rows[subject] for subject in subjects if subject in rows):
            found.settled.update(row.owners())
            for person in row.owners():
                wanted[person] |= index.leads()
        for unit in (*found.moved, *found.erased):
            wanted[unit] |= index.segments.keys()
        leads = work.every_lead
        if index.about(Entity.LEAD):
            leads |= self._leads_by(followed.sets | work.moved_sets).keys()
        found.asks = [*self._asks(wanted, index, leads, found)]
        found.asks += [Ask(index.held(n), frozenset(units)) for n, units in work.joined.items() if index.held(n)]
        return found

    def _mirrored(self, work: Waiting, found: Touched, now: Millis) -> Followed:
        """What was new to the mirror, which is noted durably before, as announced."""

        def announce(connection: Connection, news: Followed) -> None:
            """Whoever dies with the mirror moved, and nobody looked at, finds it here."""
            found.announced.append(self._work.note(connection, moved_by(news), at=now))

        with self._gate.turn(OWNERS):
            followed = self._owners.follow(work.every_set, announce, gone=work.gone)
        with self._gate.together():
            # An erasure empties leads while nobody copies them.
            self._leads.follow(work.every_lead)
        return followed

    def _asks(
        self, wanted: Mapping[str, Collection[int]], index: Index, leads: Collection[str], found: Touched
    ) -> Iterator[Ask]:
        about_persons, about_leads = index.about(Entity.PERSON), index.about(Entity.LEAD)
        yield from _ask({person: frozenset(about_persons.intersection(each)) for person, each in wanted.items()})
        if not about_leads:
            return
        of_leads: dict[str, frozenset[int]] = dict.fromkeys(leads, about_leads)
        persons = {person: some for person, each in wanted.items() if (some := about_leads.intersection(each))}
        for lead, person in self._leads_of(persons):
            of_leads[lead] = of_leads.get(lead, frozenset()) | persons[person]
            found.happened.setdefault(lead, []).extend(found.happened.get(person, ()))
        yield from _ask(of_leads)

    def _rows_of(self, sets: Collection[SetId]) -> dict[SetId, OwnerRow]:
        return {row.set: row for row in self._mirror.owners(sets)} if sets else {}

    def _leads_of(self, persons: Collection[str]) -> Iterator[tuple[str, str]]:
        """The leads of these persons, each with whose it is, or once was."""
        leads = self._leads_by(self._mirror.sets_ever([PersonId(each) for each in persons]))
        rows = self._rows_of(set(leads.values()))
        for lead, subject in leads.items():
            owners = rows[subject].owners() if subject in rows else ()
            yield from ((lead, person) for person in owners if person in persons)

    def _leads_by(self, sets: Collection[SetId]) -> dict[str, SetId]:
        """The leads of these sets, each with its own."""
        found: dict[str, SetId] = {}
        wanted = select(lead_rows.c.id, lead_rows.c.subject)
        for chunk in chunks(sorted(sets)):
            with reading(self._records) as connection:
                rows = connection.execute(wanted.where(lead_rows.c.subject.in_(chunk))).all()
            found |= {lead: SetId(subject) for lead, subject in rows}
        return found

    def _reasons(
        self, persons: Collection[PersonId], present: Set[PersonId], since: int | None
    ) -> dict[str, Reason | None]:
        """Why these persons have other events now; those who are `present` have their own name still."""
        found: dict[str, Reason | None] = dict.fromkeys(persons)
        while persons and since is not None and (changes := self._identity.changes_since(since, CHANGES_AT_ONCE)):
            for each in changes:
                if each.kind is not ChangeKind.CREATED:
                    reason = Reason.MERGE if each.kind is ChangeKind.MERGED else Reason.SPLIT
                    found |= {person: reason for person in (each.person, *each.others) if person in found}
            since = changes[-1].seq
        rest = [each for each in persons if found[each] is None and each not in present]
        now = self._identity.currents(rest)
        for person in rest:
            if now.get(person) != person:
                found[person] = Reason.MERGE if person in now else Reason.ERASURE
        return found


def _ask(wanted: Mapping[str, frozenset[int]]) -> Iterator[Ask]:
    units = frozenset(unit for unit, segments in wanted.items() if segments)
    if units:
        yield Ask(frozenset().union(*wanted.values()), units)
