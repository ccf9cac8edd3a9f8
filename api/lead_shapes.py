"""The answers about leads, as they go out."""

from __future__ import annotations

from typing import Any

import msgspec

from api.shapes import BilingualText, Event


class LeadContact(msgspec.Struct, frozen=True, omit_defaults=True):
    """As it was left, masked unless the key may see it; what was not left is absent."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    phone: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType = msgspec.UNSET
    wechat: str | msgspec.UnsetType = msgspec.UNSET


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """An event that belongs to the trail and was not known when it was frozen."""

    event: Event
    added_at: str
    reason: BilingualText


class TrailHead(msgspec.Struct, frozen=True, kw_only=True):
    """`complete` is false when the wait for earlier events ran out."""

    frozen_at: str
    graph_version: int
    complete: bool
    waited_ms: int
    total: int


class FrozenTrail(TrailHead, frozen=True, kw_only=True):
    """The newest 200 of `total` events, newest first, and what came later."""

    events: list[Event]
    additions: list[Addition]


class NamedSegment(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str


class _Lead(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    source: str
    external_id: str | None
    person: str | None
    person_at_capture: str | None
    stage: str
    owner: str | None
    created_at: str
    contact: LeadContact
    doubtful: list[str]
    channel: str | None
    campaign: dict[str, Any]
    interest: dict[str, Any]
    consent: dict[str, Any] | None
    interests: list[dict[str, Any]]
    summary: BilingualText
    why: list[dict[str, Any]]
    segments: list[NamedSegment]
    erased: bool


class Lead(_Lead, frozen=True, kw_only=True):
    """One enquiry of one person, with the trail that led to it; `person` is who it is now."""

    trail: FrozenTrail


class LeadCard(_Lead, frozen=True, kw_only=True):
    """A lead as lists have it: without the events of its trail."""

    trail: TrailHead


class Leads(msgspec.Struct, frozen=True, kw_only=True):
    leads: list[LeadCard]
    next: str | None
