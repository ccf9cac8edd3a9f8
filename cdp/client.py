"""Send events and leads from a team's own server.

    from cdp.client import Client

    with Client("WRITE-KEY", "https://collect.example.com", spool="/var/lib/shop/xunji") as xunji:
        xunji.track("test_drive_requested", user_id="YQ20418837", properties={"series": "X9"})

A call returns as soon as the event waits in the queue. One thread sends what waits, in its order and in batches, and
sends again what the network or a busy server did not take, for as long as it takes. An event has its messageId from
the moment of its making, so one that arrives twice counts once. Nothing is dropped without a word: a full queue
makes the call wait and then raise, an event that is refused goes to `on_error` and into the next report, and with a
`spool` even a killed process's events are sent by the next one.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import random
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypedDict
from urllib.parse import quote

import httpx
import msgspec

from cdp.client_http import Failure, asked_wait_s, http_client, passes, post_batch, told_by
from cdp.client_queue import MemoryQueue, Queue, Spool, Waiting

__all__ = [
    "Client",
    "ClientError",
    "Consent",
    "Contact",
    "Failure",
    "LeadRefused",
    "NotDelivered",
    "QueueFull",
    "Report",
]

log = logging.getLogger("xunji.client")

VERSION = "1"
MAX_EVENT_BYTES = 1024 * 1024
BATCH_BYTES = 2 * MAX_EVENT_BYTES
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
"""Waits are drawn from 0 to the bound, which doubles: many clients that failed at once do not come back at once."""
REMEMBERED_FAILURES = 1_000

_CLOSED = "This client is closed. Make another."

_INHERITED: list[Queue] = []
"""Queues of the parent, in a forked child: closing such a file here would take it away from the parent."""


class ClientError(Exception):
    """The root of what this module raises besides TypeError and ValueError for a wrong call."""


class QueueFull(ClientError):
    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit:,} events wait to be sent. The collector is away or slower than you; see its /readyz."
        )


class NotDelivered(ClientError):
    def __init__(self, trouble: str) -> None:
        super().__init__(f"The collector did not take the lead in time ({trouble}). The same message_id is one lead.")


class LeadRefused(ClientError):
    """`fields` names what is wrong, such as `contact.phone`."""

    def __init__(self, status: int, detail: str, fields: Sequence[str]) -> None:
        self.status, self.fields = status, tuple(fields)
        super().__init__(f"The lead was refused ({status}): {detail}")


class Contact(TypedDict, total=False):
    """One way to reach the person at least."""

    name: str
    phone: str
    email: str
    wechat: str


class Consent(TypedDict, total=False):
    purposes: Sequence[str]
    text_version: str
    at: datetime | str


class Report(msgspec.Struct, frozen=True):
    """What happened since the last report: how many events the collector has, how many it refused or never got, the
    last of these with their reasons, and how many still wait."""

    delivered: int
    lost: int
    failures: tuple[Failure, ...]
    waiting: int


class Client:
    """Safe to share among threads. A process that forks gets a queue and a thread of its own."""

    _thread: threading.Thread
    _since: float
    _deadline: float
    """By which the sending thread is to end; infinite before the end is asked for."""
    _wanted: int
    """Up to which event somebody waits for all to be sent."""
    _closed: bool
    _delivered: int
    _lost: int

    def __init__(
        self,
        key: str,
        url: str = "http://127.0.0.1:8001",
        *,
        batch_events: int = 500,
        interval_s: float = 1.0,
        queue_events: int | None = None,
        room_s: float = 5.0,
        timeout_s: float = 10.0,
        exit_s: float = 5.0,
        spool: str | Path | None = None,
        on_error: Callable[[Failure], None] | None = None,
    ) -> None:
        """`batch_events` are sent together, or fewer that waited for `interval_s`. At most `queue_events` wait (10,000;
        1,000,000 with a spool); a call that finds the queue full waits for `room_s`, then raises QueueFull.
        `timeout_s` is for one request; `exit_s` is how long the end of the process may wait for the last events.
        `on_error` is called from the sending thread; without it failures are logged.
        """
        if not key:
            raise ValueError("a client needs the key of a source; `cdp source create NAME --kind server` makes one")
        self._key, self._url, self._timeout_s = key, url, timeout_s
        self._batch_events, self._interval_s = batch_events, interval_s
        self._room_s, self._exit_s = room_s, exit_s
        self._spool = Path(spool) if spool is not None else None
        self._limit = queue_events or (10_000 if spool is None else 1_000_000)
        self._on_error = on_error or _logged
        self._start()
        # Nobody needs to hold a client whose events still wait.
        atexit.register(self.close)
        _in_child(weakref.WeakMethod(self._forked))

    # What a team calls.

    def track(
        self,
        event: str,
        *,
        user_id: str = "",
        anonymous_id: str = "",
        properties: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        message_id: str = "",
    ) -> str:
        """Somebody did something. All calls return the messageId; give your own to make a repeat harmless.

        Raises QueueFull, ValueError for what is over MAX_EVENT_BYTES, TypeError for what has no JSON.
        """
        if not event:
            raise ValueError("an event needs a name")
        told = {"event": event, "properties": properties or {}}
        return self._add("track", told, user_id, anonymous_id, context, timestamp, message_id)

    def page(
        self,
        name: str = "",
        *,
        url: str = "",
        user_id: str = "",
        anonymous_id: str = "",
        properties: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        message_id: str = "",
    ) -> str:
        """Somebody looked at a page or a screen."""
        told = {"name": name, "properties": {**(properties or {}), **({"url": url} if url else {})}}
        return self._add("page", told, user_id, anonymous_id, context, timestamp, message_id)

    def identify(
        self,
        user_id: str,
        traits: Mapping[str, Any] | None = None,
        *,
        anonymous_id: str = "",
        context: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        message_id: str = "",
    ) -> str:
        """Somebody is known, and this is known of them: `phone` and `email` among the traits identify, too."""
        return self._add("identify", {"traits": traits or {}}, user_id, anonymous_id, context, timestamp, message_id)

    def group(
        self,
        group_id: str,
        traits: Mapping[str, Any] | None = None,
        *,
        user_id: str = "",
        anonymous_id: str = "",
        context: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        message_id: str = "",
    ) -> str:
        """Somebody belongs to a company, a family, a dealer."""
        told = {"groupId": group_id, "traits": traits or {}}
        return self._add("group", told, user_id, anonymous_id, context, timestamp, message_id)

    def alias(
        self,
        previous_id: str,
        user_id: str,
        *,
        context: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        message_id: str = "",
    ) -> str:
        """Who was called `previous_id` is `user_id`."""
        return self._add("alias", {"previousId": previous_id}, user_id, "", context, timestamp, message_id)

    def lead(
        self,
        contact: Contact,
        *,
        interest: Mapping[str, str] | None = None,
        consent: Consent | None = None,
        channel: str = "",
        campaign: Mapping[str, Any] | None = None,
        user_id: str = "",
        anonymous_id: str = "",
        identifiers: Sequence[tuple[str, str]] = (),
        properties: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        message_id: str = "",
        within_s: float = 10.0,
    ) -> str:
        """Somebody wants to be called: the id of the lead, which the collector has when this returns.

        What waits in the queue is sent first, so that the lead's trail is there. `identifiers` are (kind, value) pairs.
        Raises LeadRefused, and NotDelivered after `within_s`; the same `message_id` again is the same lead.
        """
        told = {
            "contact": contact,
            "interest": interest or {},
            "consent": consent or {},
            "channel": channel,
            "campaign": campaign or {},
            "identifiers": [{"kind": kind, "value": value} for kind, value in identifiers],
            "properties": properties or {},
        }
        until = monotonic() + within_s
        if self._ending:
            raise ClientError(_CLOSED)
        _, body = self._made(
            told, user_id, anonymous_id, {"platform": "server", **(context or {})}, timestamp, message_id
        )
        with self._changed:
            self._await_sent(self._queue.last, within_s / 2)
        return self._post_lead(body, until)

    def flush(self, within_s: float | None = None) -> Report:
        """Send what waits now, and return when the collector has it or has refused it, or after `within_s`.

        Not from `on_error`, which the sending thread calls.
        """
        if threading.current_thread() is self._thread:
            raise ClientError("on_error is called by the thread that sends, and cannot wait for it.")
        with self._changed:
            self._await_sent(self._queue.last, within_s)
            return self._report()

    def close(self, within_s: float | None = None) -> Report:
        """Send what waits, for at most `within_s` (`exit_s`), and end. What is left is lost with NOT_DELIVERED, or
        stays in the spool for the next client. May be called twice, and is called when the process ends."""
        bound = self._exit_s if within_s is None else within_s
        with self._changed:
            self._deadline = min(self._deadline, monotonic() + bound)
            self._changed.notify_all()
        self._thread.join(bound)
        with self._changed:
            left = [] if self._closed or self._queue.keeps else self._queue.head(self._limit, 1 << 62)
            report = self._ended(left)
        for each in left:
            self._tell(_not_delivered(each))
        atexit.unregister(self.close)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Into the queue.

    def _add(
        self,
        call: str,
        told: Mapping[str, Any],
        user_id: str,
        anonymous_id: str,
        context: Mapping[str, Any] | None,
        timestamp: datetime | None,
        message_id: str,
    ) -> str:
        id_, body = self._made({"type": call, **told}, user_id, anonymous_id, context, timestamp, message_id)
        with self._changed:
            room = self._changed.wait_for(lambda: self._ending or len(self._queue) < self._limit, self._room_s)
            if self._ending:
                raise ClientError(_CLOSED)
            if not room:
                raise QueueFull(self._limit)
            self._queue.add(id_, body)
            if len(self._queue) in (1, self._batch_events):
                self._since = monotonic() if len(self._queue) == 1 else self._since
                self._changed.notify_all()
        return id_

    def _made(
        self,
        told: Mapping[str, Any],
        user_id: str,
        anonymous_id: str,
        context: Mapping[str, Any] | None,
        timestamp: datetime | None,
        message_id: str,
    ) -> tuple[str, bytes]:
        id_ = message_id or uuid.uuid4().hex
        at = timestamp or datetime.now(UTC)
        call = {
            "messageId": id_,
            "timestamp": at if at.tzinfo else at.astimezone(),
            **({"userId": user_id} if user_id else {}),
            **({"anonymousId": anonymous_id} if anonymous_id else {}),
            **told,
            "context": {**(context or {}), "library": {"name": "xunji-python", "version": VERSION}},
        }
        body = _json(call)
        if len(body) > MAX_EVENT_BYTES:
            raise ValueError(f"the event has {len(body):,} bytes, and may have {MAX_EVENT_BYTES:,}; send less in it")
        return id_, body

    # Out of it: the sending thread.

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._queue: Queue = Spool(self._spool) if self._spool is not None else MemoryQueue()
        self._http = http_client(self._url, self._timeout_s)
        self._wanted = 0
        self._since = monotonic() - self._interval_s
        self._deadline = math.inf
        self._closed = False
        self._delivered = self._lost = 0
        self._failures: deque[Failure] = deque(maxlen=REMEMBERED_FAILURES)
        self._thread = threading.Thread(target=self._send_all, name="xunji-client", daemon=True)
        self._thread.start()

    def _forked(self) -> None:
        _INHERITED.append(self._queue)
        if not self._ending:
            self._start()

    @property
    def _ending(self) -> bool:
        return self._deadline < math.inf

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
                if not self._pause(None, tries):
                    return

    def _next(self) -> list[Waiting]:
        """The next batch, once it is due; an empty one at the end."""
        with self._changed:
            while not (self._ending and (not len(self._queue) or monotonic() >= self._deadline)):
                due_s = self._since + self._interval_s - monotonic()
                if len(self._queue) and (self._ending or self._is_due(due_s)):
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
            batch = self._settle(batch, {*sent.taken}, sent.failures)
            if batch:
                tries += 1
                log.warning("%d events are sent again: %s", len(batch), sent.trouble or "the collector asks for it")
                if not self._pause(sent.wait_s, tries):
                    return

    def _settle(self, batch: list[Waiting], taken: set[str], failures: Sequence[Failure]) -> list[Waiting]:
        """What is left of the batch."""
        done = taken | {failure.message_id for failure in failures}
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

    def _pause(self, asked_s: float | None, tries: int) -> bool:
        """Wait before the next try; False where the end comes first."""
        wait_s = random.uniform(0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(tries, 16)))  # noqa: S311
        if asked_s is not None:
            wait_s = asked_s + random.uniform(0, BACKOFF_S)  # noqa: S311
        with self._changed:
            if self._ending:
                self._changed.wait_for(lambda: self._closed, min(wait_s, self._deadline - monotonic()))
            else:
                self._changed.wait_for(lambda: self._ending, wait_s)
            return monotonic() < self._deadline

    def _note(self, failures: Sequence[Failure]) -> None:
        self._lost += len(failures)
        self._failures.extend(failures)

    def _tell(self, failure: Failure) -> None:
        try:
            self._on_error(failure)
        except Exception:
            log.exception("on_error failed on %s", failure.reason)

    # What flush, close and lead wait for.

    def _await_sent(self, number: int, within_s: float | None) -> None:
        self._wanted = max(self._wanted, number)
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._closed or (self._queue.first() or math.inf) > number, within_s)

    def _report(self) -> Report:
        report = Report(self._delivered, self._lost, tuple(self._failures), 0 if self._closed else len(self._queue))
        self._delivered = self._lost = 0
        self._failures.clear()
        return report

    def _ended(self, left: Sequence[Waiting]) -> Report:
        if not self._closed:
            self._note([_not_delivered(each) for each in left])
            self._queue.settle([each.number for each in left])
            waiting = len(self._queue)
            self._queue.close()
            self._http.close()
            self._closed = True
            self._changed.notify_all()
            return msgspec.structs.replace(self._report(), waiting=waiting)
        return self._report()

    def _post_lead(self, body: bytes, until: float) -> str:
        path, tries, trouble = f"/f/{quote(self._key, safe='')}", 0, "out of time"
        while (left_s := until - monotonic()) > 0:
            asked_s = None
            try:
                answer = self._http.post(path, content=body, timeout=min(self._timeout_s, left_s), headers=_JSON)
            except httpx.HTTPError as error:
                trouble = str(error) or type(error).__name__
            else:
                told = told_by(answer)
                if answer.is_success and isinstance(told.get("lead"), str):
                    return str(told["lead"])
                if not answer.is_success and not passes(answer.status_code, told):
                    raise _lead_refused(answer.status_code, told)
                trouble, asked_s = f"{answer.status_code}", asked_wait_s(answer)
            tries += 1
            if not self._pause(asked_s, tries):
                break
        raise NotDelivered(trouble)


_JSON = {"Content-Type": "application/json"}


def _in_child(forked: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Such a hook stays for as long as the process; the client need not."""

    def call() -> None:
        if (method := forked()) is not None:
            method()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def _json(call: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(call)
    except UnicodeEncodeError:
        # Half an emoji, cut by its length: escaped it arrives, and the collector mends it.
        return json.dumps(msgspec.to_builtins(call)).encode()


def _logged(failure: Failure) -> None:
    log.error("An event was not taken: %s. %s", failure.reason, failure.detail)


def _not_delivered(event: Waiting) -> Failure:
    return Failure(event.id, "NOT_DELIVERED", "The end came before the collector said that it has it. Use a spool.")


def _lead_refused(status: int, told: Mapping[str, Any]) -> LeadRefused:
    errors = told.get("errors")
    fields = [str(each.get("path")) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return LeadRefused(status, str(told.get("detail") or "no reason was given"), fields)
