"""What the work that waits is about: for rounds, which do it, and for questions, which go ahead of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cdp.model import PersonId, SetId
from cdp.segment_work import Captured, Erased, Happened, Joined, Moved, Stored, Task
from profiles.owners import Followed


@dataclass(slots=True)
class Waiting:
    """Tasks by what is in them."""

    happened: list[Happened] = field(default_factory=list)
    leads: list[tuple[str, SetId]] = field(default_factory=list)
    joined: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    sets: set[SetId] = field(default_factory=set)
    gone: set[SetId] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    moved: set[PersonId] = field(default_factory=set)
    moved_sets: set[SetId] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    unknown: bool = False

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Waiting:
        found = cls()
        for task in tasks:
            found._add(task)
        return found

    def _add(self, task: Task) -> None:
        match task.work:
            case Stored(events):
                self.happened += events
                self.sets.update(each.set for each in events)
            case Captured(leads):
                self.leads += leads
                self.emptied.update(lead for lead, subject in leads if not subject)
            case Joined(units):
                for n, some in units.items():
                    self.joined[n].update(some)
            case Erased(persons, leads, sets):
                self.erased.update(persons)
                self.emptied.update(leads)
                self.sets.update(sets)
                self.gone.update(sets)
            case Moved(persons, sets, late):
                self.moved.update(persons)
                self.late.update(persons if late else ())
                self.moved_sets.update(sets)
                self.sets.update(sets)
                self.unknown |= not persons and not sets

    @property
    def subjects(self) -> set[SetId]:
        """The sets that leads are of."""
        return {subject for _, subject in self.leads if subject}

    @property
    def every_set(self) -> set[SetId]:
        return self.sets | self.subjects

    @property
    def every_lead(self) -> set[str]:
        return {lead for lead, _ in self.leads} | self.emptied


def moved_by(news: Followed) -> Moved:
    """What the mirror says anew, as work."""
    return Moved(sorted(news.persons), sorted(news.sets))
