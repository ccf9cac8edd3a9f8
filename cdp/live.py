"""What is happening now: each event as it gets its outcome, and what becomes of persons, for whoever listens."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from cdp.batch import Batch
from cdp.model import Event
from cdp.moments import rfc3339

WAITING = 1_000
"""Messages kept for a listener that reads slowly; older ones are left out, and it is told how many."""


class Message(NamedTuple):
    """`body` is what can be written as JSON; `kind` '' for an event."""

    body: Any
    kind: str = ""


class LiveFeed:
    """A listener gets what is published while it listens; nothing is kept for later. Thread-safe."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def publish(self, batch: Batch) -> None:
        listeners = tuple(self._listeners)
        if not listeners:
            return
        messages = [_told(item.event, "stored") for item in batch.stored]
        messages += [_told(item.event, "duplicate") for item in batch.repeats]
        messages += [
            {
                "outcome": "dropped",
                "reason": refusal.reason,
                "detail": refusal.detail.splitlines()[-1] if refusal.detail else "",
                "source": refusal.source,
                "received_at": rfc3339(refusal.received_at),
                "hit": f"{refusal.place.partition}-{refusal.place.offset}",
                "id": refusal.event,
            }
            for refusal in batch.refusals
        ]
        _offer(listeners, map(Message, messages))

    def tell(self, kind: str, bodies: Iterable[Any]) -> None:
        """Messages of another kind than events."""
        _offer(tuple(self._listeners), [Message(body, kind) for body in bodies])


class Listener:
    """One reader of the feed."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Message] = queue.Queue(WAITING)
        self.missed = 0

    def offer(self, message: Message) -> None:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.missed += 1

    def next(self, timeout_s: float) -> Message | None:
        """The next message, None where none came in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


def _offer(listeners: Iterable[Listener], messages: Iterable[Message]) -> None:
    told = list(messages)
    for listener in listeners:
        for message in told:
            listener.offer(message)


def _told(event: Event, outcome: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "id": event.id,
        "name": event.name,
        "type": event.type.value,
        "source": event.source,
        "occurred_at": rfc3339(event.occurred_at),
        "received_at": rfc3339(event.received_at),
        "hit": event.hit,
    }
