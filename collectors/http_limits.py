"""What one sender, or all together, may take of a collector."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.dialect import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes are as on the wire, times in seconds and as exact as the tick, about one second."""

    request_line_bytes: int = 16 * 1024
    header_bytes: int = 64 * 1024
    body_bytes: int = MAX_BODY_BYTES
    head_s: float = 10
    body_s: float = 60
    idle_s: float = 75
    """Longer than the 60 s for which nginx keeps an idle upstream connection, so that the proxy closes first."""
    send_s: float = 30
    """For how long a client may refuse to read its answers."""
    linger_s: float = 2
    """For how long the rest of a refused request is read and thrown away: closing at once would reset the
    connection, and the client would lose the answer that tells it why."""
    waiting: int = 32
    """Requests of one connection that are worked on at the same time; more wait in order, and reading pauses."""
    waiting_bytes: int = 1024 * 1024
    """Of the bodies of one connection that wait for an answer; with more, reading pauses."""
    held_bytes: int = 256 * 1024 * 1024
    """Of unfinished requests on all connections; beyond it the one that asks for more is answered 503."""
    connections: int = 10_000
