"""Send events and leads from a team's own server.

    from cdp.client import Client

    with Client("KEY", "https://collect.example.com", spool="spool") as xunji:
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
import os
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx
import msgspec

from cdp.client_http import Failure, asked_wait_s, http_client, passes, told_by
from cdp.client_queue import MemoryQueue, Queue, Spool
from cdp.client_sender import ClientError, Closed, QueueFull, Report, Sender

__all__ = [
    "Client",
    "ClientError",
    "Closed",
    "Consent",
    "Contact",
    "Details",
    "Failure",
    "LeadRefused",
    "NotDelivered",
    "QueueFull",
    "Report",
    "Said",
    "SpoolUnusable",
]

log = logging.getLogger("xunji.client")

VERSION = "1"
MAX_EVENT_BYTES = 1024 * 1024
MEMORY_EVENTS, SPOOL_EVENTS = 10_000, 1_000_000
"""That may wait, unless told otherwise."""

_INHERITED: list[Sender] = []
"""Of the parent, in a forked child: closing its file here would take it away from the parent."""


class SpoolUnusable(ClientError):
    def __init__(self, folder: Path, trouble: str) -> None:
        super().__init__(
            f"The spool {folder} cannot be used ({trouble}). Give a folder that this process may make and write to."
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


class Details(TypedDict, total=False):
    """What any call may say besides. `identifiers` are (kind, value) pairs, such as ("vin", …) or ("wx_openid", …);
    a `timestamp` without a zone is in that of the machine; an own `message_id` makes a repeat harmless."""

    anonymous_id: str
    identifiers: Sequence[tuple[str, str]]
    context: Mapping[str, Any]
    timestamp: datetime
    message_id: str


class Said(Details, total=False):
    user_id: str


class _Options(TypedDict):
    batch_events: int
    interval_s: float
    limit: int
    room_s: float


class Client:
    """Safe to share among threads. A process that forks gets a queue and a thread of its own."""

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
        self._exit_s = exit_s
        self._spool = Path(spool) if spool is not None else None
        self._options: _Options = {
            "batch_events": batch_events,
            "interval_s": interval_s,
            "limit": queue_events or (MEMORY_EVENTS if spool is None else SPOOL_EVENTS),
            "room_s": room_s,
        }
        self._on_error = on_error or _logged
        self._start()
        # Nobody needs to hold a client whose events still wait.
        atexit.register(self.close)
        _in_child(weakref.WeakMethod(self._forked))

    # What a team calls.

    def track(self, event: str, *, properties: Mapping[str, Any] | None = None, **said: Unpack[Said]) -> str:
        """Somebody did something. All calls return the messageId.

        Raises QueueFull, ValueError for what is over MAX_EVENT_BYTES, TypeError for what has no JSON.
        """
        if not event:
            raise ValueError("an event needs a name")
        return self._add({"type": "track", "event": event, "properties": properties or {}}, said)

    def page(
        self, name: str = "", *, url: str = "", properties: Mapping[str, Any] | None = None, **said: Unpack[Said]
    ) -> str:
        """Somebody looked at a page or a screen."""
        told = {**(properties or {}), **({"url": url} if url else {})}
        return self._add({"type": "page", "name": name, "properties": told}, said)

    def identify(self, user_id: str, traits: Mapping[str, Any] | None = None, **said: Unpack[Details]) -> str:
        """Somebody is known, and this is known of them: `phone` and `email` among the traits identify, too."""
        return self._add({"type": "identify", "userId": user_id, "traits": traits or {}}, said)

    def group(self, group_id: str, traits: Mapping[str, Any] | None = None, **said: Unpack[Said]) -> str:
        """Somebody belongs to a company, a family, a dealer."""
        return self._add({"type": "group", "groupId": group_id, "traits": traits or {}}, said)

    def alias(self, previous_id: str, user_id: str, **said: Unpack[Details]) -> str:
        """Who was called `previous_id` is `user_id`."""
        return self._add({"type": "alias", "previousId": previous_id, "userId": user_id}, said)

    def lead(
        self,
        contact: Contact,
        *,
        interest: Mapping[str, str] | None = None,
        consent: Consent | None = None,
        channel: str = "",
        campaign: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        within_s: float = 10.0,
        **said: Unpack[Said],
    ) -> str:
        """Somebody wants to be called: the id of the lead, which the collector has when this returns.

        What waits in the queue is sent first, so that the lead's trail is there. Raises LeadRefused, and NotDelivered
        after `within_s`; the same `message_id` again is the same lead.
        """
        told = {
            "contact": contact,
            "interest": interest or {},
            "consent": consent or {},
            "channel": channel,
            "campaign": campaign or {},
            "properties": properties or {},
        }
        until = monotonic() + within_s
        if self._sender.ending:
            raise Closed
        said["context"] = {"platform": "server", **said.get("context", {})}
        _, body = _made(told, said)
        self._sender.await_sent(within_s / 2)
        return self._post_lead(body, until)

    def flush(self, within_s: float | None = None) -> Report:
        """Send what waits now, and return when the collector has it or has refused it, or after `within_s`.

        Not from `on_error`, which the sending thread calls.
        """
        self._sender.await_sent(within_s)
        return self._sender.report()

    def close(self, within_s: float | None = None) -> Report:
        """Send what waits, for at most `within_s` (`exit_s`), and end. What is left is lost with NOT_DELIVERED, or
        stays in the spool for the next client. May be called twice, and is called when the process ends."""
        report = self._sender.close(self._exit_s if within_s is None else within_s)
        atexit.unregister(self.close)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Behind it.

    def _start(self) -> None:
        queue = _queue(self._spool)
        self._http = http_client(self._url, self._timeout_s)
        self._sender = Sender(self._http, self._key, queue, on_error=self._on_error, **self._options)

    def _forked(self) -> None:
        _INHERITED.append(self._sender)
        if not self._sender.ending:
            self._start()

    def _add(self, told: Mapping[str, Any], said: Details) -> str:
        id_, body = _made(told, said)
        self._sender.add(id_, body)
        return id_

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
            if not self._sender.pause(asked_s, tries):
                break
        raise NotDelivered(trouble)


_JSON = {"Content-Type": "application/json"}
_KNOWN = frozenset({*Details.__annotations__, *Said.__annotations__})


def _in_child(forked: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Such a hook stays for as long as the process; the client need not."""

    def call() -> None:
        if (method := forked()) is not None:
            method()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def _queue(spool: Path | None) -> Queue:
    if spool is None:
        return MemoryQueue()
    try:
        return Spool(spool)
    except OSError as error:
        raise SpoolUnusable(spool, error.strerror or str(error)) from error


def _made(told: Mapping[str, Any], said: Details) -> tuple[str, bytes]:
    """The messageId and the JSON text. Raises TypeError and ValueError for a wrong call."""
    if unknown := said.keys() - _KNOWN:
        raise TypeError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(sorted(_KNOWN))}")
    id_ = said.get("message_id") or uuid.uuid4().hex
    at = said.get("timestamp") or datetime.now(UTC)
    who = {"userId": said.get("user_id"), "anonymousId": said.get("anonymous_id")}
    given = [{"kind": kind, "value": value} for kind, value in said.get("identifiers", ())]
    call = {
        "messageId": id_,
        "timestamp": at if at.tzinfo else at.astimezone(),
        **{name: value for name, value in who.items() if value},
        **({"identifiers": given} if given else {}),
        **told,
        "context": {**said.get("context", {}), "library": {"name": "xunji-python", "version": VERSION}},
    }
    body = _json(call)
    if len(body) > MAX_EVENT_BYTES:
        raise ValueError(f"the event has {len(body):,} bytes, and may have {MAX_EVENT_BYTES:,}; send less in it")
    return id_, body


def _json(call: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(call)
    except UnicodeEncodeError:
        # Half an emoji, cut by its length: escaped it arrives, and the collector mends it.
        return json.dumps(msgspec.to_builtins(call)).encode()


def _logged(failure: Failure) -> None:
    log.error("An event was not taken: %s. %s", failure.reason, failure.detail)


def _lead_refused(status: int, told: Mapping[str, Any]) -> LeadRefused:
    errors = told.get("errors")
    fields = [str(each.get("path")) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return LeadRefused(status, str(told.get("detail") or "no reason was given"), fields)
