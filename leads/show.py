"""A lead as the contract writes it: times in RFC 3339, personal values masked unless they may be seen.

Stored leads hold tokens: as values of the personal kinds, and as markers inside texts. All of one answer are
looked up in the vault at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cdp.model import PERSONAL_KINDS, mask
from cdp.moments import rfc3339
from cdp.scrub import fill_markers, markers_in
from cdp.vault import Vault
from leads.lead import REASONS, Addition
from leads.store import StoredLead

GONE = "****"
"""Stands for a value whose vault row was destroyed."""

MARKER_START = "⟦"

NAMING = frozenset(
    {"name", "nickname", "realname", "real_name", "full_name", "first_name", "last_name", "姓名", "称呼"}
)
"""Traits that hold a person's name."""

_TIMES = frozenset({"at", "occurred_at", "received_at", "since", "last_at", "added_at", "frozen_at", "created_at"})


class Shown:
    """Values by token, for one answer. `known` are the tokens that have a clear value."""

    def __init__(self, vault: Vault, tokens: Iterable[str], *, reveal: bool) -> None:
        self._clear = vault.reveal(sorted(set(tokens)))
        self._reveal = reveal

    @property
    def known(self) -> set[str]:
        return set(self._clear)

    def value(self, kind: str, token: str) -> str:
        clear = self._clear.get(token)
        if clear is None:
            return GONE
        return clear if self._reveal else masked(kind, clear)

    def document(self, value: Any) -> Any:
        """A stored JSON value with times, identifiers and markers as they are shown."""
        text = msgspec.json.encode(value).decode()
        if MARKER_START in text:
            value = msgspec.json.decode(fill_markers(text, self._inside_json))
        return self._walk(value)

    def _inside_json(self, kind: str, token: str) -> str:
        return msgspec.json.encode(self.value(kind, token)).decode()[1:-1]

    def _walk(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._walk(each) for each in value]
        if not isinstance(value, dict):
            return value
        if _is_event(value):
            return self._event(value)
        if value.keys() == {"kind", "value"}:
            return self._identifier(value)
        return {name: self._field(name, each) for name, each in value.items()}

    def _field(self, name: str, value: Any) -> Any:
        return rfc3339(value) if name in _TIMES and isinstance(value, int) else self._walk(value)

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        identifiers = [self._identifier(each) for each in event["identifiers"]]
        # Identifiers are stored strongest first.
        return {
            **event,
            "occurred_at": rfc3339(event["occurred_at"]),
            "received_at": rfc3339(event["received_at"]),
            "subject": identifiers[0] if identifiers else None,
            "identifiers": identifiers,
        }

    def _identifier(self, identifier: dict[str, Any]) -> dict[str, Any]:
        kind, value = identifier["kind"], identifier["value"]
        if kind in PERSONAL_KINDS:
            return {"kind": kind, "value": self.value(kind, value)}
        return identifier if self._reveal else {"kind": kind, "value": masked(kind, value)}


def masked(kind: str, clear: str) -> str:
    """As `cdp.model.mask`, but a name keeps its first character: 李**."""
    return f"{clear[:1]}**" if kind == "name" else mask(clear)


def _is_event(value: dict[str, Any]) -> bool:
    # Most of a lead is events, of which only four fields change: looking at all others takes ten times as long.
    return "identifiers" in value and "occurred_at" in value


def tokens_of(body: Mapping[str, Any]) -> set[str]:
    """All tokens in the body of a lead: its contact, identifiers of the personal kinds, and markers in texts."""
    text = msgspec.json.encode(body).decode()
    marked = {token for _, token in markers_in(text)} if MARKER_START in text else set()
    return marked.union(body["contact"].values(), _identifier_tokens(body))


def _identifier_tokens(value: Any) -> Iterable[str]:
    if isinstance(value, list):
        for each in value:
            yield from _identifier_tokens(each)
    elif isinstance(value, dict):
        if value.keys() == {"kind", "value"}:
            if value["kind"] in PERSONAL_KINDS:
                yield value["value"]
        elif _is_event(value):
            yield from _identifier_tokens(value["identifiers"])
        else:
            for each in value.values():
                yield from _identifier_tokens(each)


def whole(stored: StoredLead, additions: Sequence[Addition]) -> dict[str, Any]:
    """A lead with its trail, values still as stored. Additions that the trail has are left out."""
    body = card(stored)
    events = stored.behaviour.events if stored.behaviour else []
    known = {event["id"] for event in events}
    body["trail"] |= {
        "events": events,
        "additions": [
            {
                "event": addition.event,
                "added_at": addition.added_at,
                "reason": {"code": addition.reason} | REASONS[addition.reason],
            }
            for addition in additions
            if addition.event["id"] not in known
        ],
    }
    return body


def card(stored: StoredLead) -> dict[str, Any]:
    """A lead as lists have it: without the events of its trail."""
    row, kept = stored.row, stored.card
    return {
        "id": row.id,
        "source": row.source,
        "external_id": row.external_id,
        "person": None,
        "person_at_capture": row.person_at_capture,
        "stage": row.stage,
        "owner": row.owner,
        "created_at": row.created_at,
        "contact": kept.contact,
        "doubtful": list(kept.doubtful),
        "channel": kept.channel,
        "campaign": kept.campaign,
        "interest": kept.interest,
        "consent": kept.consent,
        "trail": {
            "frozen_at": row.frozen_at,
            "graph_version": row.graph_version,
            "complete": row.complete,
            "waited_ms": row.waited_ms,
            "total": row.total,
        },
        "interests": kept.interests,
        "summary": kept.summary,
        "why": kept.why,
        "segments": kept.segments,
        "erased": kept.erased,
    }


def show(body: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    """The body of a lead as it goes out."""
    out: dict[str, Any] = shown.document(body)
    return out | {"contact": {kind: shown.value(kind, token) for kind, token in body["contact"].items()}}
