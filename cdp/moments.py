"""Times as the contract writes them: RFC 3339 in UTC with milliseconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from cdp.model import Millis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> Millis:
    return time.time_ns() // 1_000_000


def rfc3339(at: Millis) -> str:
    """2026-11-22T03:10:39.879Z."""
    return f"{(_EPOCH + timedelta(milliseconds=at)).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def parse_rfc3339(text: str) -> Millis:
    """Raises ValueError where the text is no time with a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time with a zone such as 2026-11-22T03:10:39.879Z, not {text!r}")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
