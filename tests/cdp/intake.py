"""Puts hits into the log of a system as a collector would, and processes them at once."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from cdp.log_sqlite import SqliteLogWriter
from cdp.model import Hit, Position, Source, SourceKind
from cdp.moments import now_ms
from cdp.stores import log_folder
from cdp.vault import Cipher
from cdp.wiring import System


class Intake:
    """The writing end of a system's log, without a socket before it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._cipher = Cipher(system.settings.secret_bytes, "log")
        self._runner = asyncio.Runner()
        self._writer = SqliteLogWriter(log_folder(system.settings), 0)

    def close(self) -> None:
        self._runner.run(self._writer.close())
        self._runner.close()

    def source(self, name: str | None = None, kind: SourceKind = SourceKind.SITE, **fields: Any) -> Source:
        source, _ = self.system.book.create(name or f"source-{uuid.uuid4().hex[:8]}", kind, **fields)
        self.system.sources.refresh()
        return source

    def append(self, source: str, *events: dict[str, Any] | bytes, received_at: int | None = None) -> list[Position]:
        """One hit for each, as Segment's `track` path takes them; bytes are sent as they are."""
        return self.append_hits(hit_of(source, event, received_at or 0) for event in events)

    def append_hits(self, hits: Iterable[Hit]) -> list[Position]:
        payloads = [(self._cipher.seal(msgspec.msgpack.encode(hit)), hit.received_at) for hit in hits]

        async def append() -> list[Position]:
            return list(await asyncio.gather(*(self._writer.append(*each) for each in payloads)))

        return self._runner.run(append())

    def take(self, source: str, *events: dict[str, Any] | bytes, received_at: int | None = None) -> list[Position]:
        """Append and process."""
        positions = self.append(source, *events, received_at=received_at)
        self.system.worker.drain()
        return positions


def make_event(**fields: Any) -> dict[str, Any]:
    """A track call with one interesting thing."""
    return {
        "type": "track",
        "event": "seat_viewed",
        "messageId": uuid.uuid4().hex,
        "anonymousId": "visitor-1",
        "properties": {},
    } | fields


def hit_of(source: str, event: dict[str, Any] | bytes, received_at: int = 0) -> Hit:
    """The hit in which Segment's `track` brings this event, or these bytes."""
    body = event if isinstance(event, bytes) else json.dumps(event, ensure_ascii=False).encode()
    return Hit(
        received_at=received_at or now_ms(),
        source=source,
        dialect="segment",
        method="POST",
        target="/v1/track",
        headers={"content-type": "application/json"},
        client_ip="127.0.0.1",
        body=body,
    )
