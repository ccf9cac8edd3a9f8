"""What may be asked about segments, for whoever asks: is a definition right, whom does it mean, who is in it, and why.

The API comes through here, and through it the commands. `at` is a moment of event time: everything known today that had
occurred by then. Thread-safe; it blocks on the stores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import structlog

from cdp.errors import Refused
from cdp.model import Millis
from cdp.moments import rfc3339
from profiles.store import AskedTooMuch, Cursor
from segments.book import Segment, SegmentBook, State
from segments.check import check
from segments.faults import Fault, MalformedSegment
from segments.known import Known, KnownSegment
from segments.language import parse
from segments.members import Membership
from segments.mentions import reached
from segments.personal import personal_kinds, refuse_personal
from segments.pieces import joined, slices
from segments.reading import bounded
from segments.tree import All, Any_, Condition, Definition, Definitions, In, Leaf, Not
from segments.verdict import Answers, Estimate, Explained, LeafTruth, Preview
from segments.walk import leaves_of

log = structlog.get_logger()

FILL_WAIT_S = 30.0
"""How long whoever made a segment waits for it to be filled."""
LOOK_S = 0.05


class Meant(NamedTuple):
    """One who is or was in a segment; `since` is None where nobody kept that then."""

    unit: str
    since: Millis | None


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with a definition, and what is odd; `definition` is None where it cannot be read."""

    definition: Definition | None
    errors: Sequence[Fault]
    warnings: Sequence[Fault] = ()


class SegmentDesk:
    """`catch_up` sees to it that the evaluator knows all that is durable."""

    def __init__(
        self,
        book: SegmentBook,
        members: Membership,
        evaluator: Answers,
        *,
        tz: str,
        clock: Callable[[], Millis],
        catch_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.book, self.membership, self.clock = book, members, clock
        self._evaluator, self._tz, self._catch_up = evaluator, tz, catch_up

    # Definitions

    def report(self, document: Any, *, segment: str = "") -> Report:
        """All that is wrong in a JSON value that should be a definition, that of `segment` if it is for one."""
        try:
            bounded(document)
            refuse_personal(document)
            definition = parse(document, tz=self._tz)
        except MalformedSegment as error:
            return Report(None, error.faults)
        checked = check(definition, self._known(), segment=segment)
        if checked.errors:
            # What is unknown may have come this moment.
            checked = check(definition, self._known(fresh=True), segment=segment)
        return Report(definition, [*checked.errors, *self._to_come(definition)], checked.warnings)

    def _to_come(self, definition: Definition) -> Iterator[Fault]:
        for path, leaf in leaves_of(definition):
            if isinstance(leaf, In) and leaf.as_of is not None and leaf.as_of > self.clock():
                advice = "Who is in it then is not known; leave as_of out for now."
                yield Fault(f"{path}.as_of", "a moment that has been", rfc3339(leaf.as_of), advice)

    def read(self, document: Any, *, segment: str = "") -> Definition:
        """The definition in a JSON value. Raises MalformedSegment where anything is wrong in it."""
        report = self.report(document, segment=segment)
        if report.definition is None or report.errors:
            raise MalformedSegment(report.errors)
        return report.definition

    def _known(self, *, fresh: bool = False) -> Known:
        segments = {each.id: KnownSegment(each.name, each.definition) for each in self.book.every()}
        return replace(self._evaluator.known(fresh=fresh), segments=segments)

    # Whom a definition means

    # These raise Refused where it asks too much of the event store, or a segment that is named has gone.

    def preview(self, definition: Definition, at: Millis) -> Preview:
        self._catch_up()
        with _answered():
            return self._evaluator.preview(definition, at, self._others(definition))

    def true_of(self, definition: Definition, units: Sequence[str], at: Millis) -> dict[str, list[Leaf]]:
        """Which leaves are true of each of these units; one of which none is may be left out."""
        leaves = [leaf for _, leaf in leaves_of(definition)]
        alone = [replace(definition, universe=All(), where=leaf) for leaf in leaves]
        with _answered():
            found = self._evaluator.evaluate(alone, at, units=units, others=self._others(definition))
            return {each.unit: [leaves[place] for place in each.members] for each in found}

    def estimate(self, definition: Definition, at: Millis) -> Estimate:
        self._catch_up()
        with _answered():
            return self._evaluator.estimate(definition, at, self._others(definition))

    def overlap(self, definitions: Sequence[Definition], at: Millis) -> Mapping[frozenset[int], int]:
        """By the places of those that a unit meets, how many meet these and no other. Raises Refused."""
        if len({each.entity for each in definitions}) > 1:
            raise Refused("Some of these are about persons and some about leads. Compare those of one kind.")
        self._catch_up()
        with _answered():
            return self._evaluator.overlap(definitions, at, self._others(*definitions))

    def explain(self, definition: Definition, unit: str, at: Millis) -> Explained:
        """Of segments that the definition names too, each at the moment at which it is looked at."""
        self._catch_up()
        others = self._others(definition)

        def explained(each: Definition, then: Millis) -> Explained:
            leaves = self._evaluator.explain(each, unit, then, others)
            return Explained(each, None if leaves is None else [with_inside(leaf, then) for leaf in leaves])

        def with_inside(told: LeafTruth, then: Millis) -> LeafTruth:
            if not isinstance(told.leaf, In):
                return told
            as_of = told.leaf.as_of
            return replace(told, inside=named(told.leaf.segment, then if as_of is None else as_of))

        # One segment may be named many times, in others too.
        named = cache(lambda segment, then: explained(others[segment], then))
        with _answered():
            return explained(definition, at)

    def _others(self, *definitions: Definition) -> Definitions:
        """The segments that these may name."""
        others = self.book.definitions()
        for name in sorted(set[str]().union(*(reached(each, others) for each in definitions)) - others.keys()):
            raise Refused(f"It names the segment {name}, which is not there any more. Take the name out.")
        return others

    def recorded(self, segment: Segment, unit: str, at: Millis) -> bool | None:
        """Whether it was kept as a member at that moment; None before the segment was made."""
        return None if at < segment.created_at else unit in self.membership.held(segment.id, [unit], at)

    # Segments

    def create(self, name: str, document: Any) -> tuple[Segment, bool]:
        """As `SegmentBook.create`, filled unless that takes too long. Raises MalformedSegment besides."""
        _refuse_personal_name(name)
        made, new = self.book.create(name, self.read(document))
        return self._filled(made), new

    def update(self, segment: str, *, name: str | None, document: Any) -> Segment:
        """As `SegmentBook.update`, filled unless that takes too long. Raises MalformedSegment besides."""
        _refuse_personal_name(name or "")
        self.book.get(segment)
        definition = None if document is None else self.read(document, segment=segment)
        return self._filled(self.book.update(segment, name=name, definition=definition))

    def members(
        self, segment: Segment, *, at: Millis | None, after: Cursor | None, limit: int
    ) -> tuple[list[Meant], Cursor | None]:
        """Who is in it, newest first, or was at that moment. Before the segment was made that is whom it would have
        meant by what is known today, in order of their ids."""
        if at is None or at >= segment.created_at:
            found, place = self.membership.members(segment.n, at=at, after=after, limit=limit)
            return [Meant(each.unit, each.since) for each in found], place
        self._catch_up()
        with _answered():
            page = list(islice(self._meant(segment.definition, at, "" if after is None else after.id), limit + 1))
        place = Cursor(at, page[limit - 1]) if len(page) > limit else None
        return [Meant(unit, None) for unit in page[:limit]], place

    def _meant(self, definition: Definition, at: Millis, after: str) -> Iterator[str]:
        """Whom it means, in order, from the first after that: part by part, as all may be millions."""
        others = self._others(definition)
        waiting = [part for part in slices(definition.entity) if after < part[1]]
        while waiting:
            part, *waiting = waiting
            began = time.monotonic()
            found = list(self._evaluator.evaluate([definition], at, part=part, others=others))
            waiting = list(joined(waiting, len(found), time.monotonic() - began))
            yield from sorted(each.unit for each in found if each.members and each.unit > after)

    def _filled(self, segment: Segment) -> Segment:
        until = time.monotonic() + FILL_WAIT_S
        while segment.state not in (State.LIVE, State.REFUSED) and time.monotonic() < until:
            time.sleep(LOOK_S)
            segment = self.book.get(segment.id)
        return segment


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except AskedTooMuch as error:
        log.warning("question_asks_too_much", reason=error.cause)
        raise Refused(
            f"This asks too much of the event store at once: {error.cause}. Take fewer conditions, shorter windows or"
            " fewer values."
        ) from error


def _refuse_personal_name(name: str) -> None:
    if kinds := personal_kinds(name):
        raise Refused(f"The name holds a value of the kind {kinds[0]}, which all who read segments would see.")


def holds(definition: Definition, truths: Sequence[bool]) -> bool:
    """Whether a unit is meant, by the truths of all leaves."""
    left = iter(truths)

    def true(condition: Condition) -> bool:
        match condition:
            case All(parts) | Any_(parts):
                # All of them, whatever the first says: each leaf takes its own truth.
                found = [true(part) for part in parts]
                return all(found) if isinstance(condition, All) else any(found)
            case Not(part):
                return not true(part)
            case _:
                return next(left)

    return true(All((definition.universe, definition.where)))
