"""The thread that sends what waits in a client's queue, and those who wait for it."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import httpx
import msgspec

from cdp.client_http import Failure, post_batch
from cdp.client_queue import Queue, Waiting

log = logging.getLogger("xunji.client")

BATCH_BYTES = 2 * 1024 * 1024
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
"""Waits are drawn from 0 to the bound, which doubles: many clients that failed at once do not come back at once."""
REMEMBERED_FAILURES = 1_000


class ClientError(Exception):
    """The root of what a client raises besides TypeError and ValueError for a wrong call."""


class Closed(ClientError):
    def __init__(self) -> None:
        super().__init__("This client is closed. Make another.")


class QueueFull(ClientError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit:,} events wait. The collector is away or slower than you: see its /readyz.")


class Report(msgspec.Struct, frozen=True):
    """What happened since the last report: how many events the collector has, how many it refused or never got, the
    last of these with their reasons, and how many still wait."""

    delivered: int
    lost: int
    failures: tuple[Failure, ...]
    waiting: int


class Sender:
    """Takes events from all threads, and sends them from its own, in their order. `limit` is of the queue; a caller who
    finds it full waits for `room_s`. It closes queue and connection at its end."""

    def __init__(
        self,
        http: httpx.Client,
        key: str,
        queue: Queue,
        *,
        batch_events: int,
        interval_s: float,
        limit: int,
        room_s: float,
        on_error: Callable[[Failure], None],
    ) -> None:
        self._http, self._key, self._queue = http, key, queue
        self._batch_events, self._interval_s = batch_events, interval_s
        self._limit, self._room_s = limit, room_s
        self._on_error = on_error
        self._changed = threading.Condition()
        self._wanted = 0
        """Up to which event somebody waits for all to be sent."""
        self._since = monotonic() - interval_s
        self._deadline = math.inf
        """By which the thread is to end; infinite before the end is asked for."""
        self._closed = False
        self._delivered = self._lost = 0
        self._failures: deque[Failure] = deque(maxlen=REMEMBERED_FAILURES)
        self._thread = threading.Thread(target=self._send_all, name="xunji-client", daemon=True)
        self._thread.start()

    @property
    def ending(self) -> bool:
        return self._deadline < math.inf

    def add(self, id_: str, body: bytes) -> None:
        """Raises QueueFull and Closed."""
        with self._changed:
            room = self._changed.wait_for(lambda: self.ending or len(self._queue) < self._limit, self._room_s)
            if self.ending:
                raise Closed
            if not room:
                raise QueueFull(self._limit)
            self._queue.add(id_, body)
            if len(self._queue) in (1, self._batch_events):
                self._since = monotonic() if len(self._queue) == 1 else self._since
                self._changed.notify_all()

    def await_sent(self, within_s: float | None) -> None:
        """Return when nothing waits any more that waits now, or after `within_s`."""
        self._refuse_to_wait_for_itself()
        with self._changed:
            number = self._queue.last
            self._wanted = max(self._wanted, number)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or (self._queue.first() or math.inf) > number, within_s)

    def report(self) -> Report:
        """Counts from here on begin at 0."""
        with self._changed:
            report = Report(self._delivered, self._lost, tuple(self._failures), 0 if self._closed else len(self._queue))
            self._delivered = self._lost = 0
            self._failures.clear()
            return report

    def close(self, within_s: float) -> Report:
        """Send what waits, for at most `within_s`, and end; what is left and is not kept is lost."""
        self._refuse_to_wait_for_itself()
        with self._changed:
            self._deadline = min(self._deadline, monotonic() + within_s)
            self._changed.notify_all()
        self._thread.join(within_s)
        with self._changed:
            if self._closed:
                return self.report()
            left = [] if self._queue.keeps else self._queue.head(self._limit, 1 << 62)
            self._queue.settle([each.number for each in left])
            lost = [_not_delivered(each) for each in left]
            self._note(lost)
            report = self.report()
            self._closed = True
            self._queue.close()
            self._http.close()
            self._changed.notify_all()
        for failure in lost:
            self._tell(failure)
        return report

    def pause(self, asked_s: float | None, tries: int) -> bool:
        """Wait before the next try; False where the end comes first."""
        wait_s = random.uniform(0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(tries, 16)))  # noqa: S311
        if asked_s is not None:
            wait_s = asked_s + random.uniform(0, BACKOFF_S)  # noqa: S311
        with self._changed:
            if self.ending:
                self._changed.wait_for(lambda: self._closed, min(wait_s, self._deadline - monotonic()))
            else:
                self._changed.wait_for(lambda: self.ending, wait_s)
            return monotonic() < self._deadline

    # In the thread.

    def _send_all(self) -> None:
        tries = 0
        while True:
            try:
                batch = self._next()
                if not batch:
                    return
                self._deliver(batch)
                tries = 0
            except Exception:
                tries += 1
                log.exception("Sending failed by a fault of this client; it tries again")
                if not self.pause(None, tries):
                    return

    def _next(self) -> list[Waiting]:
        """The next batch, once it is due; an empty one at the end."""
        with self._changed:
            while not (self.ending and (not len(self._queue) or monotonic() >= self._deadline)):
                due_s = self._since + self._interval_s - monotonic()
                if len(self._queue) and (self.ending or self._is_due(due_s)):
                    return self._queue.head(self._batch_events, BATCH_BYTES)
                self._changed.wait(due_s if len(self._queue) else None)
        return []

    def _is_due(self, due_s: float) -> bool:
        return due_s <= 0 or len(self._queue) >= self._batch_events or (self._queue.first() or 0) <= self._wanted

    def _deliver(self, batch: list[Waiting]) -> None:
        tries = 0
        while batch:
            sent = post_batch(self._http, self._key, batch)
            if sent.too_large:
                half = len(batch) // 2
                self._deliver(batch[:half])
                batch = batch[half:]
                continue
            batch = self._settle(batch, sent.taken, sent.failures)
            if batch:
                tries += 1
                log.warning("%d events are sent again: %s", len(batch), sent.trouble or "the collector asks for it")
                if not self.pause(sent.wait_s, tries):
                    return

    def _settle(self, batch: list[Waiting], taken: Sequence[str], failures: Sequence[Failure]) -> list[Waiting]:
        """What is left of the batch."""
        done = {*taken, *(failure.message_id for failure in failures)}
        with self._changed:
            if self._closed:
                return []
            self._queue.settle([each.number for each in batch if each.id in done])
            self._delivered += len(taken)
            self._note(failures)
            self._since = monotonic()
            self._changed.notify_all()
        for failure in failures:
            self._tell(failure)
        return [each for each in batch if each.id not in done]

    def _note(self, failures: Sequence[Failure]) -> None:
        self._lost += len(failures)
        self._failures.extend(failures)

    def _tell(self, failure: Failure) -> None:
        try:
            self._on_error(failure)
        except Exception:
            log.exception("on_error failed on %s", failure.reason)

    def _refuse_to_wait_for_itself(self) -> None:
        if threading.current_thread() is self._thread:
            raise ClientError("on_error is called by the thread that sends, and cannot wait for it.")


def _not_delivered(event: Waiting) -> Failure:
    return Failure(event.id, "NOT_DELIVERED", "The end came before the collector said that it has it. Use a spool.")
