"""Which names exist by themselves: fields of every event, built-in attributes of a person, attributes of a lead."""

from __future__ import annotations

from enum import StrEnum

from leads.lead import CONTACT_FIELDS, INTEREST_FIELDS
from segments.faults import suggestion

EVENT_FIELDS = (
    "$type",
    "$source",
    "$platform",
    "$dialect",
    "$session",
    "$app.id",
    "$app.version",
    "$page.url",
    "$page.path",
    "$page.title",
    "$page.referrer",
    "$campaign.source",
    "$campaign.medium",
    "$campaign.name",
    "$campaign.term",
    "$campaign.content",
    "$device.kind",
    "$device.os",
    "$locale",
    "$ip_city",
)
"""Beside the event's own properties; '' in one of them counts as missing."""

PERSON_BUILTINS = ("$first_seen", "$last_seen", "$events")
"""Beside the person's traits: moments of the first and the last event, number of events."""

LEAD_ATTRIBUTES = (
    "id",
    "source",
    "channel",
    "stage",
    "status",
    "owner",
    "created_at",
    *(f"interest.{name}" for name in INTEREST_FIELDS),
    *(f"contact.{kind}" for kind in CONTACT_FIELDS),
)
"""`status` is another word for `stage`; besides these there is any `campaign.…`."""


class Of(StrEnum):
    """Whose value a name means."""

    EVENT = "event"
    PERSON = "person"
    LEAD = "lead"


_MOMENTS = {Of.EVENT: frozenset[str](), Of.PERSON: {"$first_seen", "$last_seen"}, Of.LEAD: {"created_at"}}


def is_moment(of: Of, name: str) -> bool:
    """True for what is a moment by itself; a property may hold one as text or number."""
    return name in _MOMENTS[of]


def is_contact(of: Of, name: str) -> bool:
    """True for what is personal, of which a segment may ask only whether it is there."""
    return of is Of.LEAD and name.startswith("contact.")


def misnamed(of: Of, name: str) -> tuple[str, str] | None:
    """What was expected and what to do, where such a name cannot exist."""
    if of is Of.EVENT and name.startswith("$") and name not in EVENT_FIELDS:
        advice = suggestion(name, EVENT_FIELDS, otherwise=f"Names with $ are {', '.join(EVENT_FIELDS)}.")
        return "a field of every event, or a property without $", advice
    if of is Of.LEAD and name not in LEAD_ATTRIBUTES and not (name.startswith("campaign.") and name != "campaign."):
        known = f"Leads have {', '.join(LEAD_ATTRIBUTES)} and campaign.…"
        return "an attribute of leads", suggestion(name, LEAD_ATTRIBUTES, otherwise=known)
    return None
