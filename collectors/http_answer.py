"""Put answers into bytes: status line, the few headers that each answer has, and problems as RFC 9457 tells them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from collectors.dialect import Answer

log = logging.getLogger(__name__)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"

_PASSING = frozenset({408, 425, 429})
_FOR_EVER = frozenset({501, 505})

BODILESS = frozenset({204, 304})
"""Answers with these never have a body, and must not announce a length (RFC 9110, 8.6)."""

Reply = Callable[[Answer, bytes], None]
"""Takes the answer to one request, now or later, from the event loop's thread; a second call changes nothing. The
bytes are more header lines, each ending in CRLF, made by our own code from values without line breaks."""


def render(answer: Answer, lines: bytes, date: bytes, connection: bytes, body_wanted: bool) -> bytes:
    """The whole response as one bytes object, so that it leaves in one write; `date` and `connection` are lines."""
    if answer.headers:
        lines += _lines(answer.headers)
    head = _head(answer.status, answer.content_type)
    if answer.status in BODILESS:
        return b"%b%b%b%b\r\n" % (head, date, connection, lines)
    body = answer.body
    head = b"%b%b%b%bContent-Length: %d\r\n\r\n" % (head, date, connection, lines, len(body))
    return head + body if body_wanted else head


@lru_cache(maxsize=256)
def _head(status: int, content_type: str) -> bytes:
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    if status not in BODILESS and content_type:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode("latin-1")


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    retry_after_s: int = 0,
) -> Answer:
    """application/problem+json, with `code` and `message` besides: segment-python and rudder-python take a refusal
    without these two for a failure of their own, and send it eleven times. `result` tells our own clients whether to
    send the same again."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": errors,
        "code": code,
        "message": detail,
        "result": "retry" if worth_a_retry(status) else "drop",
    }
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return Answer(status, msgspec.json.encode(body), "application/problem+json", headers)


def worth_a_retry(status: int) -> bool:
    """Whether the same request may be taken later. One that is too large is not: its halves may."""
    return status in _PASSING or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _FOR_EVER)


def failure(error: BaseException) -> Answer:
    """500 for a fault of ours, whose trace is logged without its message: that may hold a value of the hit."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    log.error("A request was answered 500 because of %s:\n%s", type(error).__name__, trace)
    return problem(500, "internal", "Internal error", "The collector failed on this request. Send it again.")
