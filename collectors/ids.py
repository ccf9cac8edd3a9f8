"""Ids of events: the same whenever the same event comes again, by a retry, another partition or a replay."""

from __future__ import annotations

import hashlib
from collections.abc import Container

import msgspec

from cdp.model import EventId

ID_BYTES = 16


def event_id(source: str, client_id: str) -> EventId:
    """32 hex digits, made of the source's id and the id that the SDK gave, or that stands in for it."""
    return EventId(hashed(source, client_id))


def hashed(*parts: str) -> str:
    """128 bits of BLAKE2b over the parts in their order, as 32 hex digits."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=ID_BYTES).hexdigest()


def content_id(record: bytes, *, without: Container[str], moment: str = "") -> str:
    """An id for a record that has none: a hash of what it says, in whatever order, less the fields in `without`,
    which change from one retry to the next.

    A record that does not say when it happened is told from the next one like it only by how it came: give its
    hit and index as `moment`, else a visitor's second page view would be a repeat of the first.
    """
    try:
        fields = msgspec.json.decode(record)
        kept = {name: value for name, value in fields.items() if name not in without}
        canonical = msgspec.json.encode(kept, order="sorted")
    except (msgspec.ValidationError, RecursionError):
        # Numbers beyond all range, nesting without end: as it came is all the order there is.
        canonical = record
    return hashed(canonical.decode(), moment)
