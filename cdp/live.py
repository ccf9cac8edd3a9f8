"""What is happening now: each event as it gets its outcome, and what becomes of persons, for whoever listens."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cdp.accounting import Refusal
from cdp.batch import Batch
from cdp.model import Event
from cdp.moments import rfc3339

WAITING = 1_000
"""Messages kept for a listener that reads slowly; older ones are left out, and it is told how many."""
DETAIL = 500
"""Characters of what is said of a refusal."""


class Message(NamedTuple):
    """`body` is what can be written as JSON; `kind` '' for an event."""

    body: Any
    kind: str = ""


class LiveFeed:
    """A listener gets what is published while it listens; nothing is kept for later. Thread-safe.

    What this process publishes, this process hears; `cdp.live_kafka` reaches others.
    """

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

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """For a process in which somebody may listen: meanwhile it hears what others publish."""
        yield

    def publish(self, batch: Batch) -> None:
        """What became of each event. Never fails."""
        if self.wanted():
            self.send(_told(batch))

    def tell(self, kind: str, bodies: Iterable[Any]) -> None:
        """Messages of another kind than events. Never fails."""
        self.send([Message(body, kind) for body in bodies])

    def wanted(self) -> bool:
        """Whether it may reach anybody."""
        return bool(self._listeners)

    def send(self, messages: Sequence[Message]) -> None:
        self.hand_out(messages)

    def hand_out(self, messages: Iterable[Message]) -> None:
        """Give it to the listeners of this process."""
        listeners = tuple(self._listeners)
        for message in map(_dated, messages) if listeners else ():
            for listener in listeners:
                listener.offer(message)

    def close(self) -> None:
        """Let go of everything."""


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


def _told(batch: Batch) -> list[Message]:
    messages = [_event(item.event, "stored") for item in batch.stored]
    messages += [_event(item.event, "duplicate") for item in batch.repeats]
    return messages + [_refusal(refusal) for refusal in batch.refusals]


def _event(event: Event, outcome: str) -> Message:
    body = {
        "outcome": outcome,
        "id": event.id,
        "name": event.name,
        "type": event.type.value,
        "source": event.source,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "hit": event.hit,
    }
    return Message(body)


def _refusal(refusal: Refusal) -> Message:
    body = {
        "outcome": "dropped",
        "reason": refusal.reason,
        "detail": refusal.detail.splitlines()[-1][:DETAIL] if refusal.detail else "",
        "source": refusal.source,
        "received_at": refusal.received_at,
        "hit": f"{refusal.place.partition}-{refusal.place.offset}",
        "id": refusal.event,
    }
    return Message(body)


def _dated(message: Message) -> Message:
    """With times as they go out: writing them takes as long as all the rest, and mostly nobody listens."""
    if message.kind:
        return message
    times = {name: rfc3339(at) for name, at in message.body.items() if name.endswith("_at")}
    return Message(message.body | times)
