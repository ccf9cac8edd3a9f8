"""What goes over everybody, slice by slice: filling segments, and comparing all with a full evaluation.

Each yields after every slice, so that rounds go on between: whether it did something, or waits.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, MutableMapping, Sequence

import structlog
from prometheus_client import Counter

from cdp.model import Millis
from cdp.records import reading, writing
from segments import health
from segments.book import Segment, State, filled
from segments.live_causes import FILLING, change, explained
from segments.live_looks import Eye, Standing
from segments.live_touched import Index, Touched
from segments.live_writing import Writer
from segments.mentions import mentions_of
from segments.pieces import Piece, piecewise
from segments.sql_tried import HOUR_MS, hourly_above
from segments.tree import Entity
from segments.verdict import Evaluates, Slice
from segments.walk import leaves_of

log = structlog.get_logger()

DIFFERENCES = Counter(
    "xunji_segment_differences", "Memberships that differed from a full evaluation, and were mended", ["segment"]
)

Suspects = defaultdict[int, dict[str, bool]]
"""By segment the units that seem to be in it, or not to be, though it is written otherwise."""


def next_to_fill(segments: Sequence[Segment], waits: Collection[int]) -> list[Segment]:
    """Those that can be filled next, about one entity: what they ask of other segments is written. One that was refused
    comes alone, after the others, unless it `waits`."""
    waiting = [each for each in segments if not each.live]
    there = {each.id: each.definition for each in segments}
    unfilled = {each.id for each in waiting}
    ready = [each for each in waiting if unfilled.isdisjoint(mentions_of(each.definition, there).held)]
    fresh = [each for each in ready if each.state is not State.REFUSED and each.n not in waits]
    again = [each for each in ready if each.state is State.REFUSED and each.n not in waits]
    return [each for each in fresh if each.definition.entity is fresh[0].definition.entity] or again[:1]


def filling(writer: Writer, evaluator: Evaluates, segments: Sequence[Segment]) -> Iterator[bool]:
    """Fill these, in silence; what changes meanwhile comes in with the rounds. Doing so twice changes nothing."""
    began = time.monotonic()
    for _ in piecewise(segments, lambda piece: _fill(writer, evaluator, piece), writer.refuse):
        yield True
    # Also a round may have been refused, and has passed over somebody whose slice was filled before.
    done = [each for each in segments if writer.refused.get(each.n, -math.inf) < began]
    with writing(writer.records) as connection:
        for each in done:
            filled(connection, each)
        health.freshen(connection, [each.n for each in done], writer.moment())
    writer.turned()
    log.info("segments_filled", segments=[each.id for each in done])


def _fill(writer: Writer, evaluator: Evaluates, piece: Piece) -> Standing:
    """What was changed or deleted meanwhile is passed over."""
    every = writer.segments()
    same = {(one.n, one.version) for one in piece.segments}
    segments = [each for each in every if (each.n, each.version) in same]
    if not segments:
        return Standing({}, {})
    now = writer.moment()
    standing = _looked_at(writer, Eye(evaluator, every, writer.refuse), segments, piece.part, now)
    changes = [change(each, FILLING[each.segment.state], None, now) for each in standing.flips.values()]
    writer.write(changes, standing.renewed, Index(every, [each.n for each in segments]), now)
    return standing


def reconciling(
    writer: Writer, evaluator: Evaluates, found: MutableMapping[str, int], settled: Callable[[], bool]
) -> Iterator[bool]:
    """Compare all segments with a full evaluation, and count in `found`, by their ids, what differs.

    An event is seen by a look before it is seen by a round. So whoever differs is looked at again once what was under
    way is `settled`, and counts, and is mended, where the same is found then.
    """
    suspects: Suspects = defaultdict(dict)
    for entity in Entity:
        live = [each for each in writer.segments() if each.live and each.definition.entity is entity]
        if live:
            for _ in piecewise(live, lambda piece: _suspect(writer, evaluator, piece, suspects), writer.refuse):
                yield True
    while not settled():
        yield False
    _mend(writer, evaluator, suspects, found)


def _suspect(writer: Writer, evaluator: Evaluates, piece: Piece, suspects: Suspects) -> Standing:
    every = writer.segments()
    wanted = {each.n for each in piece.segments}
    live = [each for each in every if each.live and each.n in wanted]
    if not live:
        return Standing({}, {})
    standing = _looked_at(writer, Eye(evaluator, every, writer.refuse), live, piece.part, writer.moment())
    for (n, unit), flip in standing.flips.items():
        suspects[n][unit] = flip.entered
    return standing


def _mend(writer: Writer, evaluator: Evaluates, suspects: Suspects, found: MutableMapping[str, int]) -> None:
    every = writer.segments()
    index, eye = Index(every), Eye(evaluator, every, writer.refuse)
    now = writer.moment()
    for segment in (each for each in every if each.live):
        seemed = suspects.get(segment.n, {})
        with reading(writer.records) as connection:
            standing = Standing.of_units(connection, seemed)
        waiting = _wait_for_the_hour(segment, standing, now)
        for look in eye.units([segment], seemed, now):
            standing.compare(look, now)
        flips = [
            each for each in standing.flips.values() if seemed[each.unit] is each.entered and each.unit not in waiting
        ]
        if flips:
            log.error("segment_differed", segment=segment.id, units=len(flips))
            found[segment.id] = len(flips)
        DIFFERENCES.labels(segment.id).inc(len(flips))
        writer.write(explained(flips, Touched(), index, eye, now), standing.renewed, index, now)
    with writing(writer.records) as connection:
        counts = {each.n: found.get(each.id, 0) for each in every if each.live}
        health.note_differences(connection, counts, now)


def _wait_for_the_hour(segment: Segment, standing: Standing, now: Millis) -> set[str]:
    """Whom a timer tells by the hour, who did so much that no moments are kept of it."""
    if all(hourly_above(leaf) is None for _, leaf in leaves_of(segment.definition)):
        return set()
    timers = {unit: of_unit[segment.n].at for unit, of_unit in standing.timers.items() if segment.n in of_unit}
    return {unit for unit, at in timers.items() if at % HOUR_MS == 0 and now < at <= now + HOUR_MS}


def _looked_at(writer: Writer, eye: Eye, segments: Sequence[Segment], part: Slice, now: int) -> Standing:
    with reading(writer.records) as connection:
        standing = Standing.of_slice(connection, segments, part)
    standing.compare(eye.slice(segments, part, now, standing.known(now)), now)
    return standing
