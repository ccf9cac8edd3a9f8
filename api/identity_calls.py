"""Calls of other processes to the one identity engine that writes the graph; see `identity.calls`."""

from __future__ import annotations

import hmac
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from prometheus_client import Counter, Histogram
from starlette.responses import Response

from cdp.errors import LeaseLost, Retryable, StoreUnavailable
from identity.calls import CONTENT_TYPE, PATH, VERBS, answer
from identity.gate import Gate
from identity.verbs import Identity

log = structlog.get_logger()

MAX_CALL = 64 * 1024 * 1024
"""Bytes. The largest that is sent says what erasing takes of a person with hundreds of thousands of sets."""
AT_ONCE = 32
"""Calls that are waited for in threads; the engine does one after another."""

CALLS = Counter("xunji_identity_calls", "Calls of other processes to the identity engine", ["verb", "status"])
SECONDS = Histogram("xunji_identity_seconds", "Time to do a call of another process", ["verb"])


class CallDesk:
    """Answers calls by the engine that it is given, and by none otherwise. `lost` is called where that engine finds
    that another writes by now."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._gate = Gate()
        self._engine: Identity | None = None

    @contextmanager
    def open(self, engine: Identity) -> Iterator[None]:
        """Answer until the block ends; what is under way then is done before this returns."""
        self._put(engine)
        try:
            yield
        finally:
            self._put(None)

    def _put(self, engine: Identity | None) -> None:
        with self._gate.alone():
            self._engine = engine

    def do(self, verb: str, body: bytes) -> bytes:
        """What `identity.calls.answer` does. Raises StoreUnavailable where there is no engine."""
        with self._gate.together():
            if self._engine is None:
                raise StoreUnavailable("identity", "this process does not lead")
            return answer(self._engine, verb, body)

    def answer(self, verb: str, body: bytes) -> tuple[int, bytes]:
        """Status and body, an error's sentence included. Its trace is logged without its message, which may name
        values."""
        try:
            with SECONDS.labels(verb).time():
                return 200, self.do(verb, body)
        except LeaseLost:
            self._lost()
            return _away("identity", "another process leads now")
        except StoreUnavailable as error:
            return _away(error.store, error.cause)
        except Retryable as error:
            return _away("graph", str(error).rstrip("."))
        except msgspec.DecodeError as error:
            return 400, str(error).encode()
        except Exception as error:
            trace = "".join(traceback.format_tb(error.__traceback__))
            log.error("identity_call_failed", verb=verb, error=type(error).__name__, trace=trace)
            return 500, f"{type(error).__name__}: {error}".encode()


def _away(store: str, cause: str) -> tuple[int, bytes]:
    log.warning("identity_call_waits", store=store, reason=cause)
    return 503, f"{store} {cause}".encode()


def router_of(desk: CallDesk, key: str) -> APIRouter:
    """The calls, for whoever shows the key."""
    router = APIRouter(include_in_schema=False)
    expected = f"Bearer {key}".encode()
    limiter = CapacityLimiter(AT_ONCE)

    @router.post(PATH + "{verb}")
    async def call(verb: str, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            return Response("This key is not the deployment's.", 401)
        if verb not in VERBS:
            return Response("There is no such call.", 404)
        body = await _body(request)
        if body is None:
            return Response(f"A call has {MAX_CALL:,} bytes at most.", 413)
        status, found = await run_sync(desk.answer, verb, body, limiter=limiter)
        CALLS.labels(verb, str(status)).inc()
        return Response(found, status, media_type=CONTENT_TYPE if status == 200 else "text/plain")

    return router


async def _body(request: Request) -> bytes | None:
    """None for too large a one."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_CALL:
            return None
    return bytes(body)
