"""The nouns of a lead: who can be reached how, what was asked for, and the trail frozen at that moment.

An `Enquiry` is clear and checked, and lives in memory only. A `Draft` holds tokens in the place of everything
personal and carries the clear values to the vault; with its frozen trail it is a `Lead`, which the tables keep.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, NewType

import msgspec

from cdp.model import NO_WINDOWS, Identifier, Millis, PersonId, SetId, Windows

LeadId = NewType("LeadId", str)


def lead_id_of(source: str, external_id: str | None) -> LeadId:
    """The same for the same lead, so that a repeat is recognised wherever it comes in."""
    if external_id is None:
        return LeadId(f"ld_{secrets.token_hex(12)}")
    name = f"{source}\0{external_id}".encode()
    return LeadId(f"ld_{blake2b(name, digest_size=12).hexdigest()}")


def lead_of_event(event: str) -> str:
    """The external id of the lead that an event captures."""
    return f"event:{event}"


CONTACT_FIELDS = ("name", "phone", "email", "wechat")
INTEREST_FIELDS = ("series", "model", "dealer", "city", "note")

NEW = "new"
"""The stage every lead begins in."""

ADDITIONS_MS = 24 * 3_600_000
"""How long after the freeze events are still added to a trail."""


class Waited(msgspec.Struct, frozen=True):
    """How the wait for earlier events ended; `complete` is false when it ran out of time."""

    complete: bool
    waited_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Enquiry:
    """What somebody asked for, normalised and still clear.

    `identifiers` are those that belong to one person by this enquiry, contact included. `doubtful` names what was
    kept although it cannot be right, such as contact.phone.
    """

    source: str
    external_id: str | None
    contact: Mapping[str, str]
    identifiers: tuple[Identifier, ...] = ()
    doubtful: tuple[str, ...] = ()
    channel: str | None = None
    campaign: Mapping[str, Any] = field(default_factory=dict)
    interest: Mapping[str, str] = field(default_factory=dict)
    consent: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Enquiry(source={self.source!r}, identifiers={self.identifiers!r})"


class FrozenTrail(msgspec.Struct, frozen=True, kw_only=True):
    """The behaviour of a person as it was known at `frozen_at`, and what was concluded from it.

    `events` are the newest 200 of `total`, newest first, as the event store gives them; `sets` are the identifier
    sets that were the person's at that moment, in these `windows`; `devices` are shared ones that the person had;
    `segments` are those that the person was in, by id and name. All of it is as new as `graph_version`, or newer.
    """

    frozen_at: Millis
    graph_version: int
    waited: Waited
    person: PersonId | None
    sets: tuple[SetId, ...]
    total: int
    events: list[dict[str, Any]]
    interests: list[dict[str, Any]]
    summary: dict[str, str]
    why: list[dict[str, Any]]
    windows: Windows = NO_WINDOWS
    devices: frozenset[Identifier] = frozenset()
    segments: list[dict[str, str]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A lead before its trail is frozen. `contact` maps a field to the token of its value; free text has markers
    where it was personal.

    `subject` is the identifier set that the lead belongs to, by which its present person is found; `own` are its
    members, strongest first. `clear` maps each token to its value, on the way to the vault.
    """

    id: LeadId
    source: str
    external_id: str | None
    subject: SetId
    own: tuple[Identifier, ...]
    contact: Mapping[str, str]
    doubtful: tuple[str, ...]
    channel: str | None
    campaign: Mapping[str, Any]
    interest: Mapping[str, Any]
    consent: Mapping[str, Any] | None
    clear: Mapping[str, Identifier]

    def __repr__(self) -> str:
        return f"Draft(id={self.id!r}, source={self.source!r}, own={self.own!r})"


class Lead(NamedTuple):
    """A captured lead: what was asked for, and the trail that led to it."""

    draft: Draft
    trail: FrozenTrail


@dataclass(frozen=True, slots=True)
class Addition:
    """An event that belongs to a frozen trail but was not known when it was frozen."""

    lead: LeadId
    event: Mapping[str, Any]
    added_at: Millis
    reason: str


ARRIVED_LATE = "arrived_late"
IDENTIFIED_LATER = "identified_later"

REASONS = {
    ARRIVED_LATE: {"zh": "行为发生在留资之前，数据晚到", "en": "It happened before the capture and arrived late."},
    IDENTIFIED_LATER: {
        "zh": "留资之后才确认是此人的行为",
        "en": "It was recognised as this person's only after the capture.",
    },
}
"""Why an event was added, as it is shown."""
