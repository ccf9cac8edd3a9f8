"""A micro-batch on its way through the pipeline: its items, and what has been decided about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from cdp.accounting import DUPLICATE, FOUND, STORED, TRANSLATED, UNREADABLE, WHOLE_HIT, Refusal, Tally, dropped
from cdp.begun import Range
from cdp.model import Dropped, DropReason, Event, Fact, Hit, Identifier, Millis, Position, SetId
from cdp.seen import Place, key_of
from leads.late import Found as LateEvents
from leads.lead import Lead

Found = tuple[Position, Hit | None]
"""A hit of the log; None where its record cannot be opened."""

LEAD_NOT_CAPTURED = "LEAD_NOT_CAPTURED"
"""Beside a stored event whose form should have become a lead and could not."""

NO_SET = SetId(0)


class Item(msgspec.Struct, eq=False, gc=False):
    """One event on its way.

    `evidence` holds what the event says of which identifiers, `blocked` why some of them never link; `clear` maps
    each token in the event to the value it stands for, until the vault has it; `contact` is what a form carried,
    before it was made unreadable. `reborn` is when a person was erased who had any of the identifiers before, 0 for
    never.
    """

    event: Event
    place: Place
    key: int
    set: SetId = NO_SET
    evidence: list[tuple[Fact, tuple[Identifier, ...]]] = []
    blocked: dict[Identifier, str] = {}
    clear: dict[str, Identifier] = {}
    contact: dict[str, str] | None = None
    proven: bool = False
    reborn: Millis = 0


@dataclass(slots=True)
class Batch:
    """What one transaction of the records store will commit.

    `replay` is true where hits that were processed before are translated again: then only what comes out
    otherwise than the first time counts, and `earlier` holds what was refused at the first time. `graph_version` is
    that before the batch was begun. `claimed` are the keys of which this batch, or an attempt at it that was cut off,
    found the first; `unclaimed` those whose next is the first after all. `again` is true where an attempt was cut off.
    """

    ranges: list[Range]
    hits: list[Found]
    now: Millis
    replay: bool = False
    earlier: Mapping[Place, Refusal] = field(default_factory=dict)
    graph_version: int = 0
    claimed: set[int] = field(default_factory=set)
    again: bool = False
    items: list[Item] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    stored: list[Item] = field(default_factory=list)
    repeats: list[Item] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    overruled: list[Place] = field(default_factory=list)
    unclaimed: list[int] = field(default_factory=list)
    changed_sets: set[SetId] = field(default_factory=set)
    leads: list[tuple[list[Lead], LateEvents]] = field(default_factory=list)
    erased: dict[Position, bool] = field(default_factory=dict)

    def blocks(self, items: list[Item]) -> Iterator[tuple[str, list[Item]]]:
        """The items by partition, each block with the name of its write: that of its range, so that whoever does the
        range again writes under the same name.

        A replay may meet the same range with a mended dialect: there the events themselves give the name.
        """
        ranges = {partition: f"{partition}:{start}-{end}" for partition, start, end in self.ranges}
        whole = not self.replay and items is self.items
        for partition, some in groupby(items, key=lambda item: item.place.partition):
            block = list(some)
            yield ranges[partition] if whole else _named_by_events(block), block

    def translated(self, position: Position, *, source: str, received_at: Millis) -> None:
        """Count a hit whose records could be found."""
        if self.replay:
            whole = Place(*position, WHOLE_HIT)
            if whole not in self.earlier:
                return
            self.tally.count(UNREADABLE, source=self.earlier[whole].source, received_at=received_at, n=-1)
            self.overruled.append(whole)
        self.tally.count(TRANSLATED, source=source, received_at=received_at)

    def unreadable(self, position: Position, *, source: str, received_at: Millis, detail: str) -> None:
        """Count a hit of which nothing can be read."""
        if self.replay:
            return
        self.tally.count(UNREADABLE, source=source, received_at=received_at)
        place = Place(*position, WHOLE_HIT)
        self.refusals.append(Refusal(place, source, "UNREADABLE", detail, received_at))

    def add(self, event: Event, place: Place) -> None:
        self.items.append(Item(event, place, key_of(event.id)))

    def found(self, place: Place, *, source: str, received_at: Millis) -> None:
        """Count a record that translation found, in place of what a replay finds that it was."""
        was = self.earlier.get(place)
        if was is not None:
            self.tally.count(FOUND, source=was.source, received_at=received_at, n=-1)
            self.tally.count(f"dropped:{was.reason}", source=was.source, received_at=received_at, n=-1)
            self.overruled.append(place)
        self.tally.count(FOUND, source=source, received_at=received_at)

    def counted_before(self, place: Place) -> bool:
        """Whether a replay meets a record that has its outcome: it came of a hit that was readable at the first
        time, and was not refused then."""
        return self.replay and place not in self.earlier and place._replace(item=WHOLE_HIT) not in self.earlier

    def store(self, items: list[Item]) -> None:
        for item in items:
            self.tally.count(STORED, source=item.event.source, received_at=item.event.received_at)
        self.stored.extend(items)

    def repeat(self, item: Item) -> None:
        self.tally.count(DUPLICATE, source=item.event.source, received_at=item.event.received_at)
        self.repeats.append(item)

    def drop(self, refusal: Dropped, place: Place) -> None:
        """Give a record that is no event the outcome Dropped."""
        if self.counted_before(place):
            return
        self.found(place, source=refusal.source, received_at=refusal.received_at)
        self.tally.count(dropped(refusal.reason), source=refusal.source, received_at=refusal.received_at)
        self.refusals.append(Refusal(place, refusal.source, refusal.reason.value, refusal.detail, refusal.received_at))

    def erase(self, item: Item) -> None:
        """Give an event that must not come back the outcome Dropped(ERASED), and have its hit redacted."""
        event, place = item.event, item.place
        self.erased[Position(place.partition, place.offset)] = False
        if self.counted_before(place):
            return
        self.found(place, source=event.source, received_at=event.received_at)
        self.tally.count(dropped(DropReason.ERASED), source=event.source, received_at=event.received_at)
        reason, detail = DropReason.ERASED.value, DropReason.ERASED.sentence
        self.refusals.append(Refusal(place, event.source, reason, detail, event.received_at, event.id))

    def fail(self, item: Item, trace: str) -> None:
        """End an event on which a step of ours raised. One that is stored stays so: then only its lead is missing,
        and the trace stands beside it."""
        event = item.event
        reason = LEAD_NOT_CAPTURED
        if item not in self.stored:
            reason = DropReason.INTERNAL.value
            self.tally.count(dropped(DropReason.INTERNAL), source=event.source, received_at=event.received_at)
            self.unclaimed.append(item.key)
        self.refusals.append(Refusal(item.place, event.source, reason, trace, event.received_at, event.id))


def _named_by_events(items: list[Item]) -> str:
    ids = "".join(item.event.id for item in items)
    return "events-" + hashlib.blake2b(ids.encode(), digest_size=16).hexdigest()
