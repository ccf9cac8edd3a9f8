"""Answers in JSON, encoded by msgspec, and pages with an opaque cursor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import Query
from starlette.responses import Response

from cdp.errors import Refused
from cdp.model import Millis
from cdp.moments import parse_rfc3339
from profiles.store import Cursor

MAX_LIMIT = 1_000
USUAL_LIMIT = 100

_encoder = msgspec.json.Encoder()

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most. 每页条数")]
After = Annotated[str | None, Query(max_length=400, description="`next` of the page before. 上一页的 next")]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as JSON: msgspec structs, dicts, lists and plain values."""
    return Response(_encoder.encode(body), status, headers, "application/json")


def cursor_text(cursor: Cursor | None, listed: str) -> str | None:
    """A cursor as callers hold it, for the list of this name alone; None where there is no further page."""
    if cursor is None:
        return None
    return base64.urlsafe_b64encode(_encoder.encode((listed, *cursor))).decode().rstrip("=")


def cursor_of(text: str | None, listed: str) -> Cursor | None:
    """Raises Refused where the text is none of ours, or of another list."""
    if not text:
        return None
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        of, at, last = msgspec.json.decode(packed, type=tuple[str, Millis, str])
        if of != listed:
            raise ValueError
    except (msgspec.DecodeError, binascii.Error, ValueError):
        advice = "Begin again without a cursor."
        raise wrong("cursor", "the `next` of an earlier page of this list", text, advice) from None
    return Cursor(at, last)


def moment(name: str, text: str | None) -> Millis | None:
    """The time in a parameter. Raises Refused where it is none."""
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        expected = "a time with a zone such as 2026-11-22T03:10:39.879Z"
        raise wrong(name, expected, text, "In a URL a + before the zone is written %2B.") from None


def wrong(path: str, expected: str, got: str, advice: str) -> Refused:
    """The refusal of one parameter or field."""
    error = {"path": path, "expected": expected, "got": got[:100], "help": advice}
    return Refused(f"{path} is not {expected}. {advice}", [error])
