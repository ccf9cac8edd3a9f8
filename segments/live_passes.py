"""What goes over everybody, slice by slice: filling segments, and comparing all with a full evaluation.

Each yields after every slice, so that rounds go on between: whether it did something, or waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, MutableMapping, Sequence

import structlog
from prometheus_client import Counter

from cdp.records import reading, writing
from segments import health
from segments.book import Segment, filled, segments_in
from segments.live_causes import FILLING, change, explained
from segments.live_looks import Eye, Slice, Standing, joined, slices
from segments.live_touched import Index, Touched
from segments.live_writing import Writer
from segments.mentions import mentions_of
from segments.tree import Entity
from segments.verdict import Evaluates

log = structlog.get_logger()

DIFFERENCES = Counter(
    "xunji_segment_differences", "Memberships that differed from a full evaluation, and were mended", ["segment"]
)

Suspects = defaultdict[int, dict[str, bool]]
"""By segment the units that seem to be in it, or not to be, though it is written otherwise."""


def next_to_fill(segments: Sequence[Segment]) -> list[Segment]:
    """Those that can be filled next, about one entity: what they ask of other segments is written."""
    waiting = [each for each in segments if not each.live]
    there = {each.id: each.definition for each in segments}
    unfilled = {each.id for each in waiting}
    ready = [each for each in waiting if unfilled.isdisjoint(mentions_of(each.definition, there).held)]
    return [each for each in ready if each.definition.entity is ready[0].definition.entity]


def filling(writer: Writer, evaluator: Evaluates, segments: Sequence[Segment]) -> Iterator[bool]:
    """Fill these, in silence; what changes meanwhile comes in with the rounds. Doing so twice changes nothing."""
    first, *others = slices(segments[0].definition.entity)
    verdicts = _fill(writer, evaluator, segments, first)
    yield True
    for part in joined(others, verdicts):
        _fill(writer, evaluator, segments, part)
        yield True
    with writing(writer.records) as connection:
        for each in segments:
            filled(connection, each)
        health.freshen(connection, [each.n for each in segments], writer.moment())
    writer.turned()
    log.info("segments_filled", segments=[each.id for each in segments])


def _fill(writer: Writer, evaluator: Evaluates, segments: Sequence[Segment], part: Slice) -> int:
    """How many verdicts there were. What was changed or deleted meanwhile is passed over."""
    every = _segments(writer)
    segments = [each for each in every if (each.n, each.version) in {(one.n, one.version) for one in segments}]
    if not segments:
        return 0
    now = writer.moment()
    standing = _looked_at(writer, Eye(evaluator, every), segments, part, now)
    changes = [change(each, FILLING[each.segment.state], None, now) for each in standing.flips.values()]
    writer.write(changes, standing.renewed, Index(every, [each.n for each in segments]), now)
    return standing.verdicts


def reconciling(
    writer: Writer, evaluator: Evaluates, found: MutableMapping[str, int], settled: Callable[[], bool]
) -> Iterator[bool]:
    """Compare all segments with a full evaluation, and count in `found`, by their ids, what differs.

    An event is seen by a look before it is seen by a round. So whoever differs is looked at again once what was under
    way is `settled`, and counts, and is mended, where the same is found then.
    """
    suspects: Suspects = defaultdict(dict)
    for entity in Entity:
        first, *others = slices(entity)
        verdicts = _suspect(writer, evaluator, entity, first, suspects)
        yield True
        for part in joined(others, verdicts):
            _suspect(writer, evaluator, entity, part, suspects)
            yield True
    while not settled():
        yield False
    _mend(writer, evaluator, suspects, found)


def _suspect(writer: Writer, evaluator: Evaluates, entity: Entity, part: Slice, suspects: Suspects) -> int:
    """How many verdicts there were."""
    every = _segments(writer)
    live = [each for each in every if each.live and each.definition.entity is entity]
    if not live:
        return 0
    standing = _looked_at(writer, Eye(evaluator, every), live, part, writer.moment())
    for (n, unit), flip in standing.flips.items():
        suspects[n][unit] = flip.entered
    return standing.verdicts


def _mend(writer: Writer, evaluator: Evaluates, suspects: Suspects, found: MutableMapping[str, int]) -> None:
    every = _segments(writer)
    index, eye = Index(every), Eye(evaluator, every)
    now = writer.moment()
    for segment in (each for each in every if each.live):
        seemed = suspects.get(segment.n, {})
        with reading(writer.records) as connection:
            standing = Standing.of_units(connection, seemed)
        for look in eye.units([segment], seemed, now):
            standing.compare(look, now)
        flips = [each for each in standing.flips.values() if seemed[each.unit] is each.entered]
        if flips:
            log.error("segment_differed", segment=segment.id, units=len(flips))
            found[segment.id] = len(flips)
        DIFFERENCES.labels(segment.id).inc(len(flips))
        writer.write(explained(flips, Touched(), index, eye, now), standing.renewed, index, now)
    with writing(writer.records) as connection:
        counts = {each.n: found.get(each.id, 0) for each in every if each.live}
        health.note_differences(connection, counts, now)


def _looked_at(writer: Writer, eye: Eye, segments: Sequence[Segment], part: Slice, now: int) -> Standing:
    with reading(writer.records) as connection:
        standing = Standing.of_slice(connection, segments, part)
    standing.compare(eye.slice(segments, part, now, standing.known(now)), now)
    return standing


def _segments(writer: Writer) -> list[Segment]:
    with reading(writer.records) as connection:
        return segments_in(connection)
