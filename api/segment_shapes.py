"""The answers about segments, as they go out. Durations and times are those of a definition (docs/segments.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from api.shapes import BilingualText, Identifier, Wrong


class SegmentLeaf(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a definition, where it stands, and as a sentence. `mode` is real-time, or hourly where of more
    than `hourly_above` matches of one unit it is told by the hour when the window loses them."""

    path: str
    sentence: BilingualText
    mode: str
    hourly_above: int | None


class SegmentCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a definition can be used. Paths begin inside the definition; `sentence` is null where it cannot be read.
    What is always true, never true or about events that never came is a warning."""

    valid: bool
    errors: list[Wrong]
    warnings: list[Wrong]
    sentence: BilingualText | None
    leaves: list[SegmentLeaf]


class SegmentUnit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a segment is about: `person`, or in a segment of leads `lead`."""

    person: str | msgspec.UnsetType = msgspec.UNSET
    lead: str | msgspec.UnsetType = msgspec.UNSET


class SegmentSample(SegmentUnit, frozen=True, kw_only=True, omit_defaults=True):
    """One of those meant, by what they are known, and the conditions that are true of them."""

    identifiers: list[Identifier]
    why: list[BilingualText]


class SegmentCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of how many units of the universe a condition's figure is zero, or its value missing."""

    path: str
    sentence: BilingualText
    zero: int
    missing: int


class SegmentInterval(msgspec.Struct, frozen=True, kw_only=True):
    """Of 20 such estimates 19 hold the true count."""

    low: int
    high: int


class SegmentPreview(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a definition means. With `estimate` it is told from a 1/64 of all, and the rest is empty.

    `reach` counts by what members can be reached: phone, email, wx_openid, device_id, or none; `channels` by their
    channel.
    """

    count: int
    at: str
    sample: list[SegmentSample]
    estimate: SegmentInterval | None
    reach: dict[str, int]
    channels: dict[str, int]
    missing: list[SegmentCounts]


class SegmentRegion(msgspec.Struct, frozen=True, kw_only=True):
    """Those in all of these segments (by their place in the request, from 0) and in none of the others."""

    segments: list[int]
    size: int


class SegmentOverlap(msgspec.Struct, frozen=True, kw_only=True):
    """`sizes` are of the segments in the order asked; `regions` are all that can be, empty ones too."""

    sizes: list[int]
    regions: list[SegmentRegion]
    at: str


class SegmentLag(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from a cause to the change of a membership that it brought, as measured."""

    p50_ms: int
    p95_ms: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment. `state` is filling until its first fill, or that of a new definition, is through, and live then; it is
    refused where the event store does not answer about it, for the reason `refused`, and is tried again;
    `fresh_at` is until when everything is taken in, null before the first fill. `volatility` is the part of its members
    that enter or leave in a day; over 0.3 it is restless, and `in … for` calms it."""

    id: str
    name: str
    entity: str
    definition: dict[str, Any]
    sentence: BilingualText
    version: int
    size: int
    state: str
    refused: str | None
    fresh_at: str | None
    lag: SegmentLag | None
    volatility: float | None
    created_at: str
    updated_at: str


class Segments(msgspec.Struct, frozen=True, kw_only=True):
    segments: list[Segment]
    next: str | None


class SegmentMember(SegmentUnit, frozen=True, kw_only=True, omit_defaults=True):
    """`since` is null for a moment at which the segment was not there."""

    since: str | None


class SegmentMembers(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    members: list[SegmentMember]
    next: str | None


class SegmentChange(SegmentUnit, frozen=True, kw_only=True, omit_defaults=True):
    """`change` is entered or exited; `reason` is event, timer, attribute, backfill, definition, merge, split or
    erasure; `cause_event` the event that brought it about."""

    change: str
    at: str
    reason: str
    cause_event: str | None


class SegmentChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    changes: list[SegmentChange]
    next: str | None


class SegmentEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    occurred_at: str


class SegmentTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of one unit: whether it is true, the newest of the events that make it so, and when that changes
    next if nothing more happens; null for never. `leaves` are those of the segment that the condition names."""

    path: str
    sentence: BilingualText
    truth: bool
    next: str | None
    events: list[SegmentEvent]
    leaves: list[SegmentTruth]


class SegmentExplanation(SegmentUnit, frozen=True, kw_only=True, omit_defaults=True):
    """`member` is what the definition says of the unit at that moment by all that is known today; `recorded` whether it
    was kept as a member then, null before the segment was made. They differ where something came late, people were
    merged or split, or the definition was another."""

    member: bool
    recorded: bool | None
    at: str
    leaves: list[SegmentTruth]


class SegmentParameter(msgspec.Struct, frozen=True, kw_only=True):
    """What can be another in a template. `kind` is event, property, attribute, text, texts, number or duration."""

    name: str
    kind: str
    default: Any
    title: BilingualText


class SegmentTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A definition to begin with, as it is with all defaults."""

    id: str
    title: BilingualText
    parameters: list[SegmentParameter]
    definition: dict[str, Any]
    sentence: BilingualText


class SegmentTemplates(msgspec.Struct, frozen=True, kw_only=True):
    templates: list[SegmentTemplate]
