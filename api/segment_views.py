"""Segments in the shapes of the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from api import segment_shapes as shapes
from api.segment_people import known_by
from api.services import Services
from api.shapes import BilingualText, Identifier, Wrong
from cdp.model import Millis
from cdp.moments import rfc3339
from segments.book import Segment, State
from segments.desk import Meant, Report, holds
from segments.faults import Fault
from segments.language import parse
from segments.members import Crossing
from segments.phrases import LANGS, Lang
from segments.sentence import of_leaf, sentence
from segments.sql_tried import hourly_above
from segments.templates import Template
from segments.tree import Definition, Leaf
from segments.verdict import Estimate, Explained, LeafTruth, Preview
from segments.walk import leaves_of
from segments.written import as_json

Names = Mapping[str, str]
"""Of segments, by id."""


def names_of(segments: Iterable[Segment]) -> Names:
    return {each.id: each.name for each in segments}


def said(definition: Definition, names: Names, *, home: str) -> BilingualText:
    zh, en = (sentence(definition, lang, names=names, home=home) for lang in LANGS)
    return BilingualText(zh=zh, en=en)


def said_of(leaf: Leaf, definition: Definition, names: Names) -> BilingualText:
    zh, en = of_leaf(leaf, "zh", definition, names=names), of_leaf(leaf, "en", definition, names=names)
    return BilingualText(zh=zh, en=en)


# A definition


def checked(report: Report, names: Names, *, home: str) -> shapes.SegmentCheck:
    definition = report.definition
    return shapes.SegmentCheck(
        valid=not report.errors,
        errors=_wrong(report.errors),
        warnings=_wrong(report.warnings),
        sentence=None if definition is None else said(definition, names, home=home),
        leaves=[] if definition is None else _leaves(definition, names),
    )


def _wrong(faults: Iterable[Fault]) -> list[Wrong]:
    return [Wrong(each.path, each.expected, each.got, each.help) for each in faults]


def _leaves(definition: Definition, names: Names) -> list[shapes.SegmentLeaf]:
    return [
        shapes.SegmentLeaf(
            path=path,
            sentence=said_of(leaf, definition, names),
            mode="real-time" if above is None else "hourly",
            hourly_above=above,
        )
        for path, leaf in leaves_of(definition)
        for above in [hourly_above(leaf)]
    ]


# Whom it means


def estimated(found: Estimate, at: Millis) -> shapes.SegmentPreview:
    interval = shapes.SegmentInterval(low=found.low, high=found.high)
    return shapes.SegmentPreview(
        count=found.count, at=rfc3339(at), sample=[], estimate=interval, reach={}, channels={}, missing=[]
    )


def previewed(use: Services, definition: Definition, found: Preview, at: Millis, names: Names) -> shapes.SegmentPreview:
    known, _ = known_by(use, definition.entity, found.sample)
    why = use.segments.true_of(definition, found.sample, at)
    counted = zip(leaves_of(definition), found.zero, found.missing, strict=True)
    return shapes.SegmentPreview(
        count=found.count,
        at=rfc3339(at),
        sample=[
            shapes.SegmentSample(
                **unit_of(definition, each),
                identifiers=[Identifier(kind=one.kind, value=one.value) for one in known.get(each, ())],
                why=[said_of(leaf, definition, names) for leaf in why.get(each, ())],
            )
            for each in found.sample
        ],
        estimate=None,
        reach=dict(found.reach),
        channels=dict(found.channels),
        missing=[
            shapes.SegmentCounts(path=path, sentence=said_of(leaf, definition, names), zero=zero, missing=missing)
            for (path, leaf), zero, missing in counted
        ],
    )


def overlapping(sizes: Mapping[frozenset[int], int], count: int, at: Millis) -> shapes.SegmentOverlap:
    regions = [
        shapes.SegmentRegion(segments=list(each), size=sizes.get(frozenset(each), 0))
        for many in range(1, count + 1)
        for each in combinations(range(count), many)
    ]
    whole = [sum(region.size for region in regions if each in region.segments) for each in range(count)]
    return shapes.SegmentOverlap(sizes=whole, regions=regions, at=rfc3339(at))


def explained(
    use: Services, told: Explained, unit: str, at: Millis, names: Names, *, recorded: bool | None
) -> shapes.SegmentExplanation:
    events = _events(use, {each for truth in _all_of(told) for each in truth.events})
    return shapes.SegmentExplanation(
        **unit_of(told.definition, unit),
        member=told.leaves is not None and holds(told.definition, [each.truth for each in told.leaves]),
        recorded=recorded,
        at=rfc3339(at),
        leaves=_truths(told, events, names),
    )


def _truths(told: Explained, events: Mapping[str, shapes.SegmentEvent], names: Names) -> list[shapes.SegmentTruth]:
    return [
        shapes.SegmentTruth(
            path=path,
            sentence=said_of(leaf, told.definition, names),
            truth=each.truth,
            next=_time(each.next),
            events=[events[one] for one in each.events if one in events],
            leaves=_truths(each.inside, events, names) if each.inside else [],
        )
        for (path, leaf), each in zip(leaves_of(told.definition), told.leaves or (), strict=told.leaves is not None)
    ]


def _all_of(told: Explained) -> Iterator[LeafTruth]:
    for each in told.leaves or ():
        yield each
        yield from _all_of(each.inside) if each.inside else ()


def _events(use: Services, ids: Collection[str]) -> dict[str, shapes.SegmentEvent]:
    return {
        event["id"]: shapes.SegmentEvent(id=event["id"], name=event["name"], occurred_at=rfc3339(event["occurred_at"]))
        for event in use.system.events.events_of(ids)
    }


# A segment


def segment(use: Services, found: Segment, names: Names) -> shapes.Segment:
    health = use.segments.membership.health(found.n, now=use.segments.clock())
    refused = found.state is State.REFUSED
    lag = None
    if health and health.lag_p50_ms is not None and health.lag_p95_ms is not None:
        lag = shapes.SegmentLag(p50_ms=health.lag_p50_ms, p95_ms=health.lag_p95_ms)
    return shapes.Segment(
        id=found.id,
        name=found.name,
        entity=found.definition.entity.value,
        definition=as_json(found.definition),
        sentence=said(found.definition, names, home=use.system.settings.tz),
        version=found.version,
        size=health.size if health else 0,
        state=found.state.value if refused or found.live else "filling",
        refused=health.refused if health and refused else None,
        fresh_at=_time(health.fresh_at) if health else None,
        lag=lag,
        volatility=health.volatility if health else None,
        created_at=rfc3339(found.created_at),
        updated_at=rfc3339(found.updated_at),
    )


def template(found: Template, *, tz: str) -> shapes.SegmentTemplate:
    document = found.filled()
    return shapes.SegmentTemplate(
        id=found.id,
        title=_text(found.title),
        parameters=[
            shapes.SegmentParameter(name=each.name, kind=each.kind, default=each.default, title=_text(each.title))
            for each in found.parameters
        ],
        definition=document,
        sentence=said(parse(document, tz=tz), {}, home=tz),
    )


def _text(title: Mapping[Lang, str]) -> BilingualText:
    return BilingualText(zh=title["zh"], en=title["en"])


def member(definition: Definition, each: Meant) -> shapes.SegmentMember:
    return shapes.SegmentMember(**unit_of(definition, each.unit), since=_time(each.since))


def change(definition: Definition, each: Crossing) -> shapes.SegmentChange:
    return shapes.SegmentChange(
        **unit_of(definition, each.unit),
        change="entered" if each.entered else "exited",
        at=rfc3339(each.at),
        reason=each.reason.value,
        cause_event=each.cause,
    )


def unit_of(definition: Definition, unit: str) -> dict[str, Any]:
    """The field that names a unit: `person` or `lead`."""
    return {definition.entity.value: unit}


def _time(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)
