"""When something happened, by a clock of ours where the sender's is wrong.

A sender that says when it sent a hit lets us see how wrong its clock is: by as much as that differs from when we
received it. Small differences are the network, and some SDKs keep the first send time over all their retries; so
only what is over a threshold is corrected, and never the clock of a server, which is right and retries for hours.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cdp.model import Millis

THRESHOLD_MS = 60_000
EARLIEST: Millis = 946_684_800_000
"""2000-01-01. What claims to be older has no clock: zero values of programs, phones without a battery."""

_SECONDS_BELOW = 100_000_000_000
"""A number under it counts seconds (until the year 5138), else milliseconds (since 1973)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(value: object, *, always_ms: bool = False) -> Millis | None:
    """ISO 8601 text (UTC where it names no zone) or a Unix time, in s or ms by its size unless told; None for all
    else."""
    if value is None:
        return None
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return round(value) if always_ms or abs(value) >= _SECONDS_BELOW else round(value * 1000)


def _from_text(text: str) -> Millis | None:
    text = text.strip()
    # Before ISO 8601, of whose short forms some milliseconds are one: 1795-12-15T12:00 is also 1795121512000.
    if text.isdecimal() and len(text) in (len("1795317374"), len("1795317374450")):
        return parse_time(int(text))
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def occurred_at(received: Millis, *, said: Millis | None, sent: Millis | None = None) -> Millis:
    """The sender's time, moved by what its clock is wrong; `received` where it says none that can be.

    Give `sent` only for a clock that may be wrong. Nothing happens after we hear of it: a time that is still in
    the future, by more than the threshold, is `received`.
    """
    if said is None:
        return received
    if sent is not None and abs(received - sent) > THRESHOLD_MS:
        said += received - sent
    return said if EARLIEST <= said <= received + THRESHOLD_MS else received
