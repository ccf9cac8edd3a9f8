"""What a new partition means for persons: who was created, merged, split, and whose identifiers moved.

Persons are named by their oldest-born value, so a name that is gone from one person is always found again as the
name of a value in another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cdp.model import Millis, PersonId, SetId
from identity.observation import ObservationId


class ChangeKind(StrEnum):
    """CREATED: the person is new. MERGED: `others` are now this person. SPLIT: `others` are new persons that were
    part of this one. MOVED: some identifiers of this person now belong to `others`, who have others besides."""

    CREATED = "created"
    MERGED = "merged"
    SPLIT = "split"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to one person; `cause` is the observation that brought it about, `at` our own clock."""

    kind: ChangeKind
    person: PersonId
    others: tuple[PersonId, ...] = ()
    cause: ObservationId | None = None
    seq: int = 0
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What one call changed. `seq` is the graph's version after it; `sets` were known before and are now another
    person's; `refused` are observations that contradict themselves and so are kept but never link."""

    seq: int
    changes: tuple[Change, ...] = ()
    sets: frozenset[SetId] = frozenset()
    refused: Mapping[ObservationId, str] = field(default_factory=dict)


class Turn(NamedTuple):
    """A change in the numbers of values, as the graph stores it."""

    kind: ChangeKind
    person: int
    others: tuple[int, ...]


def turns(before: Mapping[int, int], after: Mapping[int, int]) -> list[Turn]:
    """Compare the persons of values: `after` has all values of changed persons, `before` those that existed."""
    went: defaultdict[int, set[int]] = defaultdict(set)
    came: defaultdict[int, set[int]] = defaultdict(set)
    for value, person in after.items():
        came[person] |= {before[value]} if value in before else set()
        if value in before:
            went[before[value]].add(person)
    found = [Turn(ChangeKind.CREATED, person, ()) for person in sorted(came) if not came[person]]
    for person in sorted(came):
        absorbed = sorted(old for old in came[person] - {person} if went[old] == {person})
        if absorbed:
            found.append(Turn(ChangeKind.MERGED, person, tuple(absorbed)))
    for person in sorted(went):
        parts = went[person] - {person} if len(went[person]) > 1 else set()
        for kind, chosen in (
            (ChangeKind.SPLIT, sorted(part for part in parts if came[part] == {person})),
            (ChangeKind.MOVED, sorted(part for part in parts if came[part] != {person})),
        ):
            if chosen:
                found.append(Turn(kind, person, tuple(chosen)))
    return found
