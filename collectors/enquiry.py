"""What forms and ad platforms have in common: the fields of an enquiry, sorted, and the event that tells of them.

The event is an ordinary one, `lead_submitted`. Where contact, interest and consent stand in its properties is what
`leads.contact` looks for, so the lead comes out of the pipeline as it does for an SDK's event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cdp.model import as_json
from collectors.record import text
from leads.contact import MAX_VALUE, field_of
from leads.lead import CONTACT_FIELDS, INTEREST_FIELDS

LEAD_SUBMITTED = "lead_submitted"

_INNER = re.compile(r"(?:contact|lead|form|interest)[.\[](\w+)\]?", re.IGNORECASE)
"""contact.phone, contact[phone]: what frameworks make of a nested field."""
_OUR_PLACES = frozenset({"contact", "interest", "consent", "channel", "form", "lead", "also"})


class Fields(msgspec.Struct, frozen=True):
    """The fields of an enquiry as they were typed: those with a meaning of ours by our name, and the others."""

    contact: dict[str, str] = {}
    interest: dict[str, str] = {}
    channel: str = ""
    others: dict[str, Any] = {}

    @property
    def reachable(self) -> bool:
        """Whether anybody can be reached: a name alone is nobody."""
        return bool(self.contact.keys() - {"name"})


def sort_fields(told: Mapping[str, Any]) -> Fields:
    """Sort by the spellings of `leads.contact`; of several for one field the first with a value counts."""
    known: dict[str, str] = {}
    others: dict[str, Any] = {}
    also: dict[str, Any] = {}
    for name, value in told.items():
        if isinstance(value, dict) and name in ("contact", "interest"):
            inner = sort_fields(value)
            for inner_name, inner_typed in {**inner.contact, **inner.interest}.items():
                known.setdefault(inner_name, inner_typed)
            also |= inner.others
            continue
        nested = _INNER.fullmatch(name)
        field = field_of(nested[1] if nested else name)
        typed = _typed(value)
        if field and typed and field not in known:
            known[field] = typed
        elif field or name in _OUR_PLACES:
            also[name] = value
        else:
            others[name] = value
    if also:
        # Beside the others it would be taken for the contact, which somebody chose not to be it.
        others["also"] = also
    return Fields(
        contact={name: known[name] for name in CONTACT_FIELDS if name in known},
        interest={name: known[name] for name in INTEREST_FIELDS if name in known},
        channel=known.get("channel", ""),
        others=others,
    )


def _typed(value: Any) -> str:
    if isinstance(value, list):
        # The same question in two spellings of one form, or several answers to one.
        return ", ".join(filter(None, map(_typed, value)))[:MAX_VALUE]
    return text(value)[:MAX_VALUE]


def properties_of(fields: Fields, consent: Mapping[str, Any] | None = None, **more: Any) -> bytes:
    """The properties of the event, as JSON text; `more` are what a sender tells besides, empty values left out."""
    told = fields.others | {name: value for name, value in more.items() if value}
    told |= {"contact": fields.contact} if fields.contact else {}
    told |= {"interest": fields.interest} if fields.interest else {}
    told |= {"channel": fields.channel} if fields.channel else {}
    told |= {"consent": consent} if consent else {}
    return as_json(told).encode()
